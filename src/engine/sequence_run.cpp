#include "engine/sequence_run.h"

#include <algorithm>

#include "core/cancel.h"

namespace nibble {

Result<SequenceRun> SequenceRun::create(Model& model, size_t capacity) {
  ASSIGN_OR_RETURN(auto state, model.new_state(capacity));
  return SequenceRun(model, std::move(state));
}

Status SequenceRun::feed(std::span<const int32_t> tokens, size_t n_logit_rows,
                         std::span<float> logits) {
  logit_rows_.clear();
  for (size_t i = tokens.size() - n_logit_rows; i < tokens.size(); ++i) {
    logit_rows_.push_back(static_cast<int32_t>(i));
  }
  const Segment segment[] = {{state_.get(), 0, tokens.size()}};
  return model_->forward({tokens, segment, logit_rows_}, logits);
}

Status SequenceRun::feed_all(std::span<const int32_t> tokens, std::span<float> logits) {
  while (tokens.size() > model_->max_batch_rows()) {
    RETURN_IF_ERROR(check_cancelled());
    RETURN_IF_ERROR(feed(tokens.first(model_->max_batch_rows()), 0, {}));
    tokens = tokens.subspan(model_->max_batch_rows());
  }
  RETURN_IF_ERROR(check_cancelled());
  return feed(tokens, 1, logits);
}

}  // namespace nibble
