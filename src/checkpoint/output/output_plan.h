// What an output will hold: the stored parts of every tensor and the shard that each lies in.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "checkpoint/dialects/dialect.h"
#include "checkpoint/output/stored_form.h"
#include "checkpoint/writer.h"
#include "core/result.h"
#include "formats/safetensors.h"

namespace nibble {

struct OutputTensor {
  PlannedTensor planned;
  StoredAs stored;  ///< quantized by this run or already in the source
  StoredForm form;
  size_t shard = 0;
  size_t first_part = 0;  ///< index among the shard's declarations
  size_t n_parts = 1;
  uint64_t n_bytes = 0;

  /// Bytes of the tensor itself, without the cache scale that goes with it.
  uint64_t value_bytes() const { return n_bytes - (planned.cache_scale ? sizeof(float) : 0); }
};

struct OutputShard {
  std::string name;
  std::vector<SafetensorsDeclaration> declarations;
};

struct OutputPlan {
  std::vector<OutputTensor> tensors;
  std::vector<OutputShard> shards;
  OutputSummary summary;
  uint64_t data_bytes = 0;
  uint64_t header_bytes = 0;

  bool any_quantized() const;
};

/// Lays the output out: tensors keep the order of `plan`, a shard is closed when the next tensor
/// would exceed `max_shard_bytes`, a larger tensor gets a shard of its own. One shard is called
/// model.safetensors, several model-0000k-of-0000n.safetensors.
/// Errors: kInvalidArgument (not every tensor of the source exactly once, a tensor that cannot be
/// stored as planned, a kind that the dialect cannot hold, fused matrices quantized differently).
Result<OutputPlan> plan_output(const Checkpoint& source, const std::vector<PlannedTensor>& plan,
                               const Dialect& dialect, uint64_t max_shard_bytes);

/// The text of model.safetensors.index.json.
std::string index_text(const OutputPlan& plan);

}  // namespace nibble
