#include "bench/statistics/window_scorer.h"

#include <algorithm>
#include <utility>

#include "bench/statistics/logit_row.h"

namespace nibble {
namespace {

constexpr size_t kMaxLogitBytes = size_t{256} << 20;

}  // namespace

Result<WindowReader> WindowReader::create(Engine& engine, size_t n_ctx, size_t n_rows) {
  ASSIGN_OR_RETURN(auto state, engine.model().new_state(n_ctx));
  return WindowReader(engine, std::move(state), n_rows);
}

WindowReader::WindowReader(Engine& engine, std::unique_ptr<SequenceState> state, size_t n_rows)
    : engine_(&engine),
      state_(std::move(state)),
      vocab_size_(static_cast<size_t>(engine.config().vocab_size)),
      logits_(n_rows * vocab_size_) {}

Status WindowReader::feed(std::span<const int32_t> tokens, size_t n_wanted) {
  rows_.clear();
  for (size_t row = tokens.size() - n_wanted; row < tokens.size(); ++row) {
    rows_.push_back(static_cast<int32_t>(row));
  }
  const Segment segment{state_.get(), 0, tokens.size()};
  const Batch batch{tokens, {&segment, 1}, rows_};
  return engine_->model().forward(batch, {logits_.data(), n_wanted * vocab_size_});
}

Result<std::unique_ptr<WindowScorer>> WindowScorer::create(Engine& model, Engine* base,
                                                           std::span<const int32_t> tokens,
                                                           const PerplexityOptions& options) {
  const size_t n_scored = options.n_ctx - 1 - options.n_ctx / 2;
  const size_t row_bytes = static_cast<size_t>(model.config().vocab_size) * sizeof(float);
  const size_t max_logit_rows = std::clamp<size_t>(kMaxLogitBytes / row_bytes, 1, n_scored);
  size_t max_rows = model.model().max_batch_rows();
  ASSIGN_OR_RETURN(auto reader, WindowReader::create(model, options.n_ctx, max_logit_rows));
  std::optional<WindowReader> base_reader;
  if (base != nullptr) {
    max_rows = std::min(max_rows, base->model().max_batch_rows());
    ASSIGN_OR_RETURN(base_reader, WindowReader::create(*base, options.n_ctx, max_logit_rows));
  }
  std::unique_ptr<WindowScorer> scorer(
      new WindowScorer(tokens, options, std::move(reader), std::move(base_reader)));
  scorer->max_rows_ = max_rows;
  scorer->max_logit_rows_ = max_logit_rows;
  return scorer;
}

Status WindowScorer::score_window(size_t window, TokenScores& scores) {
  const std::span<const int32_t> tokens = tokens_.subspan(window * n_ctx_, n_ctx_);
  const size_t first_scored = n_ctx_ / 2;
  const size_t n_scored = n_ctx_ - 1 - first_scored;
  model_.begin();
  if (base_) base_->begin();
  // The last token predicts nothing that is scored, so it is never fed.
  size_t position = 0;
  while (position < n_ctx_ - 1) {
    const size_t free_rows = position < first_scored ? first_scored - position : 0;
    const size_t n_rows = std::min({n_ctx_ - 1 - position, max_rows_, free_rows + max_logit_rows_});
    const size_t n_wanted = n_rows > free_rows ? n_rows - free_rows : 0;
    const std::span<const int32_t> piece = tokens.subspan(position, n_rows);
    RETURN_IF_ERROR(model_.feed(piece, n_wanted));
    if (base_) RETURN_IF_ERROR(base_->feed(piece, n_wanted));
    position += n_rows;
    if (n_wanted == 0) continue;
    const size_t first = position - n_wanted;
    score_rows(tokens.subspan(first + 1, n_wanted), window * n_scored + (first - first_scored),
               scores);
  }
  return {};
}

/// Row i of the logits in hand is scored against targets[i] and kept at first_out + i.
void WindowScorer::score_rows(std::span<const int32_t> targets, size_t first_out,
                              TokenScores& scores) {
  pool_.parallel_for(targets.size(), 1, [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; ++i) {
      const auto target = static_cast<size_t>(targets[i]);
      const LogitRow row = summarize_row(model_.row(i));
      scores.nll[first_out + i] = row.nll(target);
      if (!base_) continue;
      const LogitRow base_row = summarize_row(base_->row(i));
      scores.base_nll[first_out + i] = base_row.nll(target);
      scores.kld[first_out + i] = kl_divergence(base_row, row);
      scores.same_top[first_out + i] = base_row.argmax == row.argmax ? 1 : 0;
    }
  });
}

}  // namespace nibble
