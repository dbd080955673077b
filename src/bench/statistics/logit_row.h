// Softmax arithmetic on one row of logits: log-sum-exp, negative log-likelihood, KL divergence.
#pragma once

#include <cstddef>
#include <span>

namespace nibble {

/// What one pass over a row of logits yields.
struct LogitRow {
  std::span<const float> logits;  ///< [vocab_size], borrowed
  size_t argmax = 0;              ///< the first of equal maxima
  double sum_exp = 1.0;           ///< sum of exp(logit - maximum)
  double log_sum_exp = 0.0;  ///< not finite if a logit is NaN or +infinity, or all are -infinity

  float maximum() const { return logits[argmax]; }
  /// -ln p(token)
  double nll(size_t token) const { return log_sum_exp - static_cast<double>(logits[token]); }
};

/// Summarizes a row of at least one logit. Exponentials are computed in F32 (2 units in the last
/// place) and added up in F64.
LogitRow summarize_row(std::span<const float> logits);

/// sum p_base (ln p_base - ln p_other) over the entries with ln p_base > kLeastLogProbability.
/// Both rows have the same length. Accumulated in F64; exactly 0 for equal rows.
double kl_divergence(const LogitRow& base, const LogitRow& other);

/// llama-perplexity keeps base log-probabilities down to 16 below the largest and sums those above
/// -16; everything rarer is left out of the divergence.
inline constexpr double kLeastLogProbability = -16.0;

}  // namespace nibble
