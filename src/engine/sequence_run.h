// One sequence on its way through the model: its state, fed in batches that the model can take.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "core/result.h"
#include "model/model.h"

namespace nibble {

/// Borrows the model.
class SequenceRun {
 public:
  /// An empty sequence with room for `capacity` tokens. Errors: kOutOfMemory.
  static Result<SequenceRun> create(Model& model, size_t capacity);

  /// Feeds at most a batch of tokens and computes the logits of the last `n_logit_rows` of them.
  ///   logits  [n_logit_rows, vocab_size]
  Status feed(std::span<const int32_t> tokens, size_t n_logit_rows, std::span<float> logits);

  /// Feeds any number of tokens and computes the logits of the last one. A requested stop
  /// (core/cancel.h) ends it between two batches. Errors: kCancelled, those of Model::forward.
  ///   logits  [vocab_size]
  Status feed_all(std::span<const int32_t> tokens, std::span<float> logits);

 private:
  SequenceRun(Model& model, std::unique_ptr<SequenceState> state)
      : model_(&model), state_(std::move(state)) {}

  Model* model_;
  std::unique_ptr<SequenceState> state_;
  std::vector<int32_t> logit_rows_;
};

}  // namespace nibble
