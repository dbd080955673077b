// Reads windows of a text with one or two models side by side and scores every token of the second
// half.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "bench/perplexity.h"
#include "core/result.h"
#include "core/thread_pool.h"
#include "engine/engine.h"

namespace nibble {

/// What is kept of every scored token. All but `nll` are empty without a base model.
struct TokenScores {
  std::vector<double> nll;
  std::vector<double> base_nll;
  std::vector<double> kld;
  std::vector<uint8_t> same_top;

  TokenScores(size_t n_tokens, bool with_base)
      : nll(n_tokens),
        base_nll(with_base ? n_tokens : 0),
        kld(with_base ? n_tokens : 0),
        same_top(with_base ? n_tokens : 0) {}
};

/// One model reading windows, piece by piece, with room for the logits of one piece.
class WindowReader {
 public:
  /// A state for windows of `n_ctx` tokens and room for `n_rows` rows of logits.
  static Result<WindowReader> create(Engine& engine, size_t n_ctx, size_t n_rows);

  void begin() { state_->reset(); }

  /// Feeds the next tokens of the window and computes the logits of the last `n_wanted` of them.
  Status feed(std::span<const int32_t> tokens, size_t n_wanted);

  /// Logits [vocab_size] of the wanted row of that index.
  std::span<const float> row(size_t index) const {
    return {logits_.data() + index * vocab_size_, vocab_size_};
  }

 private:
  WindowReader(Engine& engine, std::unique_ptr<SequenceState> state, size_t n_rows);

  Engine* engine_;
  std::unique_ptr<SequenceState> state_;
  size_t vocab_size_;
  std::vector<float> logits_;
  std::vector<int32_t> rows_;
};

/// Scores windows one after the other. A window is read in pieces: as many rows at once as both
/// models take and as the memory for logits allows.
class WindowScorer {
 public:
  /// `tokens` is borrowed and `options` are those of measure_perplexity. Errors: kOutOfMemory.
  static Result<std::unique_ptr<WindowScorer>> create(Engine& model, Engine* base,
                                                      std::span<const int32_t> tokens,
                                                      const PerplexityOptions& options);

  /// Reads one window from empty states and puts its scores in their place.
  Status score_window(size_t window, TokenScores& scores);

 private:
  WindowScorer(std::span<const int32_t> tokens, const PerplexityOptions& options,
               WindowReader model, std::optional<WindowReader> base)
      : tokens_(tokens),
        n_ctx_(options.n_ctx),
        model_(std::move(model)),
        base_(std::move(base)),
        pool_(options.n_threads) {}
  void score_rows(std::span<const int32_t> targets, size_t first_out, TokenScores& scores);

  std::span<const int32_t> tokens_;
  size_t n_ctx_;
  WindowReader model_;
  std::optional<WindowReader> base_;
  size_t max_rows_ = 1;
  size_t max_logit_rows_ = 1;
  ThreadPool pool_;
};

}  // namespace nibble
