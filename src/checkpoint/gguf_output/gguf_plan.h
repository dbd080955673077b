// What a GGUF output will hold: its tensors in order, and the rows of the source that each is made
// of.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "checkpoint/gguf/names.h"
#include "checkpoint/gguf_output/model_fields.h"
#include "checkpoint/writer.h"
#include "core/result.h"
#include "formats/gguf.h"

namespace nibble {

/// Rows of one source tensor, seen as a matrix, that go into an output tensor.
struct GgufStep {
  size_t entry = 0;  ///< index in GgufPlan::entries
  uint64_t first_row = 0;
  uint64_t n_rows = 0;
};

/// One tensor of the file.
struct GgufTarget {
  /// What it holds. Scales have one value for each step of the weights before them.
  enum class Content : uint8_t { kWeights, kTensorScales, kInputScales };

  GgufTensor tensor;
  Content content = Content::kWeights;
  GgufValues values = GgufValues::kSame;
  std::vector<GgufStep> steps;  ///< of weights, in order
};

struct GgufPlan {
  std::vector<PlannedTensor> entries;  ///< in the order of writing
  std::vector<GgufTarget> targets;
  GgufContents contents;
  GgufModelShape shape;
  std::vector<std::string> left_out;  ///< tensors that GGUF has no place for (the vision tower)
  uint64_t data_bytes = 0;
};

/// Plans the file. Tensors follow each other as in `plan`, experts of a layer put together.
///   plan  every tensor of the source once
/// Errors: kInvalidArgument (a plan that does not fit the source), kUnsupported (a tensor that GGUF
/// cannot hold in the form planned: what and why, and what to do).
Result<GgufPlan> plan_gguf(const Checkpoint& source, const std::vector<PlannedTensor>& plan,
                           PlainType plain_type);

}  // namespace nibble
