// Perplexity of a model on a text, and its divergence from a base model on the same text, with the
// definitions of llama.cpp's llama-perplexity.
//
// The text is tokenized once as a whole. Windows of n_ctx tokens follow each other without overlap,
// each read from an empty state; what is left over at the end is not used, and no token is added in
// front. Only the second half of a window is scored: positions n_ctx / 2 to n_ctx - 2 predict their
// successors.
//
// Every row of the head takes part in the softmax, also those beyond the tokenizer's last id. One
// thing is finer than in llama-perplexity: base logits are compared as F32 in the same pass and
// never rounded to a 16-bit file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "core/json.h"
#include "core/progress.h"
#include "core/result.h"
#include "engine/engine.h"

namespace nibble {

struct PerplexityOptions {
  size_t n_ctx = 512;      ///< tokens per window, at least 4
  size_t max_windows = 0;  ///< 0: as many as the text fills
  size_t n_threads = 0;    ///< of the statistics; 0: one per processor
};

/// exp(mean nll) with its standard error.
struct Perplexity {
  double ppl = 0.0;
  double ppl_se = 0.0;
  double mean_nll = 0.0;
  double nll_se = 0.0;
};

/// How far a model's next-token distributions are from the base model's, per scored token:
/// KLD = sum p_base (ln p_base - ln p) over entries with ln p_base > -16, in nats;
/// delta p = p(correct) - p_base(correct), as a share of 1.
struct Divergence {
  double kld_mean = 0.0;
  double kld_se = 0.0;
  double kld_min = 0.0;
  double kld_median = 0.0;
  double kld_p90 = 0.0;
  double kld_p95 = 0.0;
  double kld_p99 = 0.0;
  double kld_p999 = 0.0;
  double kld_max = 0.0;
  double top1_agreement = 0.0;  ///< share of tokens with the same most probable token
  double top1_se = 0.0;
  double delta_p_mean = 0.0;
  double delta_p_mean_se = 0.0;
  double delta_p_rms = 0.0;
  double nll_correlation = 0.0;
  double ln_ppl_ratio = 0.0;  ///< ln(PPL / PPL(base)), and its standard error
  double ln_ppl_ratio_se = 0.0;
};

struct PerplexityReport {
  Perplexity model;
  std::optional<Perplexity> base;        ///< with a base model only
  std::optional<Divergence> divergence;  ///< with a base model only
  size_t n_tokens = 0;                   ///< scored tokens
  size_t n_windows = 0;
  size_t n_text_tokens = 0;  ///< of the whole text
  size_t n_ctx = 0;
  double elapsed_s = 0.0;
  std::vector<double> nll;  ///< [n_tokens], in the order of the text
  std::vector<double> kld;  ///< [n_tokens] with a base model, else empty
};

/// Scores `tokens` by `model`, and side by side by `base` if it is not null. Memory beside the
/// models: two sets of logits, at most 256 MB each. Progress counts windows.
/// Errors: kInvalidArgument (n_ctx, a text shorter than one window), kMismatch (vocabulary sizes
/// differ), kNotFinite (a model computes NaN or infinity), kCancelled, those of Model::forward.
Result<PerplexityReport> measure_perplexity(Engine& model, Engine* base,
                                            std::span<const int32_t> tokens,
                                            const PerplexityOptions& options = {},
                                            const ProgressSink& progress = {});

/// One flat object: ppl, ppl_se, n_tokens, n_windows, ...; with a base model also base_ppl and the
/// fields of Divergence under their own names.
Json report_json(const PerplexityReport& report);

}  // namespace nibble
