// Sorts the modules of an output by where they stand in the model, so that a dialect can say in few
// patterns which of them are not quantized.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/dialects/dialect.h"

namespace nibble {

/// The modules of one name in all decoder layers: "linear_attn" + "out_proj".
struct LayerModules {
  std::string parent;  ///< path below the layer, numbers as "#": "mlp.experts.#"
  std::string leaf;
  std::set<uint64_t> plain_layers;
  std::set<uint64_t> quantized_layers;
  std::vector<std::string> plain_modules;  ///< stored names
};

/// A part of the model outside the decoder layers.
struct ModelArea {
  bool any_quantized = false;
  std::vector<std::string> plain_modules;  ///< stored names, weights of two dimensions or more
};

struct ModuleSurvey {
  ModelArea head;                   ///< lm_head
  ModelArea vision;                 ///< visual.*
  ModelArea mtp;                    ///< mtp.*
  ModelArea others;                 ///< the embedding and whatever else there is
  std::vector<LayerModules> kinds;  ///< in the order of first appearance
};

/// Sorts all modules. Norms and other vectors are left out: nobody would quantize them.
ModuleSurvey survey_modules(const OutputSummary& summary);

}  // namespace nibble
