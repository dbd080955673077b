// What is in a checkpoint folder: tensors, roles, sizes and effective bits, read from headers only.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "core/json.h"
#include "core/result.h"
#include "model/config.h"
#include "model/tensor_table.h"

namespace nibble {

/// One tensor in the canonical view.
struct InspectedTensor {
  TensorInfo tensor;
  std::optional<TensorRole> role;  ///< nothing for tensors that the model does not know
  int64_t layer = -1;              ///< -1 outside the layers
  bool is_body_linear = false;     ///< a linear of the text body's layers, experts included
};

/// Sums over some tensors.
struct InspectTotal {
  uint64_t n_tensors = 0;
  uint64_t n_elements = 0;
  uint64_t n_bytes = 0;

  /// Stored bits per element, scales included; 0 where there are no elements.
  double bits_per_element() const;
};

/// The whole picture.
struct InspectReport {
  std::string folder;
  std::string dialect;
  std::optional<ModelConfig> config;     ///< nothing where config.json is not understood
  std::vector<InspectedTensor> tensors;  ///< in the order of shards and offsets
  std::vector<std::pair<std::string, InspectTotal>> roles;     ///< "unknown" last
  std::vector<std::pair<std::string, InspectTotal>> storages;  ///< "BF16", "NVFP4", ...
  InspectTotal body_linears;  ///< what quantization is about: the linears of the layers
  InspectTotal all;
  std::vector<std::string> problems;  ///< config or tensors that do not fit, for people
};

/// Looks at a checkpoint of any architecture whose folder opens; what does not fit the model is a
/// problem of the report, not an error. Cost: reads headers, no weights.
/// Errors: those of Checkpoint::open.
Result<InspectReport> inspect_checkpoint(const std::string& folder);

/// The report as one JSON object (keys: folder, dialect, config, tensors, totals, storages,
/// body_linears, all, problems), and as tables for people.
Json inspect_json(const InspectReport& report);
std::string inspect_text(const InspectReport& report);

}  // namespace nibble
