// Sorts the modules of an output by where they stand in the model, so that a dialect can say in few
// patterns which of them are not quantized.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/dialects/dialect.h"

namespace nibble {

/// The name under which engines run several projections as one, and theirs (the last may repeat).
struct FusedModule {
  std::string_view name;
  std::array<std::string_view, 3> members;
};
std::span<const FusedModule> fused_modules();

/// The path of the fused module that a module becomes part of; empty for those that stay alone.
std::string fused_module(std::string_view module);

/// The modules of one name in all decoder layers: "linear_attn" + "out_proj".
struct LayerModules {
  std::string parent;  ///< path below the layer, numbers as "#": "mlp.experts.#"
  std::string leaf;
  std::map<StoredAs, std::set<uint64_t>> layers;  ///< by how the module is stored there
  std::vector<std::string> plain_modules;         ///< stored names

  bool any_quantized() const;
};

/// A part of the model outside the decoder layers.
struct ModelArea {
  std::vector<OutputModule> quantized_modules;
  std::vector<std::string> plain_modules;  ///< stored names, weights of two dimensions or more

  bool any_quantized() const { return !quantized_modules.empty(); }
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
