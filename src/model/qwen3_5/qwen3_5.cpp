#include "model/qwen3_5/qwen3_5.h"

#include <fmt/format.h>

#include <set>

#include "model/qwen3_5/forward.h"
#include "model/qwen3_5/scratch.h"
#include "model/qwen3_5/state.h"
#include "model/qwen3_5/weights.h"

namespace nibble::qwen3_5 {
namespace {

Error bad_batch(std::string message) {
  return Error(ErrorCode::kInvalidArgument, std::move(message));
}

class TextModel final : public Model {
 public:
  TextModel(std::shared_ptr<const Checkpoint> checkpoint, ModelConfig config, Backend& backend)
      : checkpoint_(std::move(checkpoint)), config_(std::move(config)), backend_(backend) {}

  Status load(const ModelOptions& options, const ProgressSink& progress) {
    ASSIGN_OR_RETURN(scratch_, make_scratch(config_, options.max_batch_rows, backend_));
    ASSIGN_OR_RETURN(weights_, load_weights(*checkpoint_, config_, backend_, options, progress));
    return {};
  }

  const ModelConfig& config() const override { return config_; }
  size_t max_batch_rows() const override { return scratch_.max_rows; }
  uint64_t bytes_per_token() const override { return weights_.bytes_per_token; }

  Result<std::unique_ptr<SequenceState>> new_state(size_t capacity) override {
    return State::create(config_, backend_, this, capacity);
  }

  Status forward(const Batch& batch, std::span<float> logits, Tap* tap) override {
    RETURN_IF_ERROR(check_tokens(batch));
    RETURN_IF_ERROR(check_segments(batch));
    RETURN_IF_ERROR(check_logit_rows(batch, logits.size()));
    qwen3_5::forward({backend_, config_, weights_, scratch_}, batch, logits, tap);
    return checkpoint_->intact();
  }

 private:
  Status check_tokens(const Batch& batch) const;
  Status check_segments(const Batch& batch) const;
  Status check_logit_rows(const Batch& batch, size_t n_logits) const;

  // Destroyed in reverse: device memory first, the mapped files that it may borrow last.
  std::shared_ptr<const Checkpoint> checkpoint_;
  ModelConfig config_;
  Backend& backend_;
  Scratch scratch_;
  Weights weights_;
};

Status TextModel::check_tokens(const Batch& batch) const {
  if (batch.tokens.empty() || batch.tokens.size() > scratch_.max_rows) {
    return bad_batch(fmt::format("a batch has {} rows; expected 1 to {}", batch.tokens.size(),
                                 scratch_.max_rows));
  }
  for (const int32_t token : batch.tokens) {
    if (token < 0 || token >= config_.vocab_size) {
      return bad_batch(fmt::format("token id {} does not exist; the model has ids 0 to {}", token,
                                   config_.vocab_size - 1));
    }
  }
  return {};
}

Status TextModel::check_segments(const Batch& batch) const {
  size_t n_rows = 0;
  std::set<const SequenceState*> seen;
  for (const Segment& segment : batch.segments) {
    const auto* state = dynamic_cast<const State*>(segment.state);
    if (state == nullptr || state->owner() != this || !seen.insert(state).second) {
      return bad_batch("a segment's state is of another model, or appears twice in the batch");
    }
    if (segment.first_row != n_rows || segment.n_rows == 0 ||
        segment.n_rows > batch.tokens.size() - n_rows) {
      return bad_batch(
          fmt::format("a segment has rows {} + {}; segments must cover the {} rows of "
                      "the batch in order",
                      segment.first_row, segment.n_rows, batch.tokens.size()));
    }
    if (segment.n_rows > state->capacity() - state->n_tokens()) {
      return bad_batch(fmt::format("{} more tokens do not fit: the state holds {} of {}",
                                   segment.n_rows, state->n_tokens(), state->capacity()));
    }
    n_rows += segment.n_rows;
  }
  if (n_rows != batch.tokens.size()) {
    return bad_batch(fmt::format("the segments cover {} of {} rows", n_rows, batch.tokens.size()));
  }
  return {};
}

Status TextModel::check_logit_rows(const Batch& batch, size_t n_logits) const {
  int64_t previous = -1;
  for (const int32_t row : batch.logit_rows) {
    if (row <= previous || static_cast<size_t>(row) >= batch.tokens.size()) {
      return bad_batch(
          fmt::format("logits of row {} were asked for after row {}; expected rising "
                      "rows below {}",
                      row, previous, batch.tokens.size()));
    }
    previous = row;
  }
  const size_t expected = batch.logit_rows.size() * static_cast<size_t>(config_.vocab_size);
  if (n_logits != expected) {
    return bad_batch(fmt::format("room for {} logits was given; expected {}", n_logits, expected));
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<Model>> load(std::shared_ptr<const Checkpoint> checkpoint,
                                    ModelConfig config, Backend& backend,
                                    const ModelOptions& options, const ProgressSink& progress) {
  auto model = std::make_unique<TextModel>(std::move(checkpoint), std::move(config), backend);
  RETURN_IF_ERROR(model->load(options, progress));
  return std::unique_ptr<Model>(std::move(model));
}

}  // namespace nibble::qwen3_5
