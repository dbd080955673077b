#include "bench/perplexity.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>

#include "bench/statistics/window_scorer.h"
#include "bench/summary.h"
#include "core/cancel.h"
#include "core/clock.h"

namespace nibble {
namespace {

Status check_request(Engine& model, Engine* base, std::span<const int32_t> tokens,
                     const PerplexityOptions& options) {
  if (options.n_ctx < 4) {
    return Error(ErrorCode::kInvalidArgument,
                 fmt::format("a window of {} tokens is too short: give a context of 4 or more",
                             options.n_ctx));
  }
  if (tokens.size() < options.n_ctx) {
    return Error(ErrorCode::kInvalidArgument,
                 fmt::format("the text has {} tokens, fewer than one window of {}: give a longer "
                             "text or a smaller context",
                             tokens.size(), options.n_ctx));
  }
  const auto vocab_size = static_cast<int32_t>(model.config().vocab_size);
  const auto stray = std::find_if(tokens.begin(), tokens.end(),
                                  [&](int32_t id) { return id < 0 || id >= vocab_size; });
  if (stray != tokens.end()) {
    return Error(
        ErrorCode::kInvalidArgument,
        fmt::format("token {} is outside the model's vocabulary of {} rows", *stray, vocab_size),
        model.checkpoint().folder());
  }
  if (base != nullptr && base->config().vocab_size != model.config().vocab_size) {
    return Error(
        ErrorCode::kMismatch,
        fmt::format("the vocabulary has {} rows, the base model's has {}: only models with "
                    "the same vocabulary can be compared",
                    model.config().vocab_size, base->config().vocab_size),
        model.checkpoint().folder());
  }
  return {};
}

Status check_finite(std::span<const double> values, const Engine& engine) {
  const auto bad = std::find_if(values.begin(), values.end(),
                                [](double value) { return !std::isfinite(value); });
  if (bad == values.end()) return {};
  return Error(ErrorCode::kNotFinite,
               fmt::format("the model computes logits that are not finite (scored token {}): its "
                           "weights are damaged or out of range",
                           bad - values.begin()),
               engine.checkpoint().folder());
}

Perplexity summarize_nll(std::span<const double> nll) {
  const Estimate estimate = estimate_mean(nll);
  const double ppl = std::exp(estimate.mean);
  return {ppl, ppl * estimate.se, estimate.mean, estimate.se};
}

Divergence summarize_divergence(const TokenScores& scores) {
  Divergence out;
  const size_t n = scores.kld.size();
  const Estimate kld = estimate_mean(scores.kld);
  out.kld_mean = kld.mean;
  out.kld_se = kld.se;
  std::vector<double> sorted = scores.kld;
  std::sort(sorted.begin(), sorted.end());
  out.kld_min = sorted.front();
  out.kld_median = percentile(sorted, 0.5);
  out.kld_p90 = percentile(sorted, 0.9);
  out.kld_p95 = percentile(sorted, 0.95);
  out.kld_p99 = percentile(sorted, 0.99);
  out.kld_p999 = percentile(sorted, 0.999);
  out.kld_max = sorted.back();

  const auto n_same =
      static_cast<size_t>(std::count(scores.same_top.begin(), scores.same_top.end(), uint8_t{1}));
  const Estimate same = estimate_share(n_same, n);
  out.top1_agreement = same.mean;
  out.top1_se = same.se;

  std::vector<double> delta_p(n);
  std::vector<double> delta_nll(n);
  double sum_squares = 0.0;
  for (size_t i = 0; i < n; ++i) {
    delta_p[i] = std::exp(-scores.nll[i]) - std::exp(-scores.base_nll[i]);
    delta_nll[i] = scores.nll[i] - scores.base_nll[i];
    sum_squares += delta_p[i] * delta_p[i];
  }
  const Estimate delta = estimate_mean(delta_p);
  out.delta_p_mean = delta.mean;
  out.delta_p_mean_se = delta.se;
  out.delta_p_rms = std::sqrt(sum_squares / static_cast<double>(n));

  const Estimate ratio = estimate_mean(delta_nll);
  out.ln_ppl_ratio = ratio.mean;
  out.ln_ppl_ratio_se = ratio.se;
  const double spread =
      std::sqrt(covariance(scores.nll, scores.nll) * covariance(scores.base_nll, scores.base_nll));
  if (spread > 0.0) out.nll_correlation = covariance(scores.nll, scores.base_nll) / spread;
  return out;
}

}  // namespace

Result<PerplexityReport> measure_perplexity(Engine& model, Engine* base,
                                            std::span<const int32_t> tokens,
                                            const PerplexityOptions& options,
                                            const ProgressSink& progress) {
  RETURN_IF_ERROR(check_request(model, base, tokens, options));
  const Stopwatch watch;
  size_t n_windows = tokens.size() / options.n_ctx;
  if (options.max_windows > 0) n_windows = std::min(n_windows, options.max_windows);
  const size_t n_scored = options.n_ctx - 1 - options.n_ctx / 2;

  ASSIGN_OR_RETURN(const auto scorer, WindowScorer::create(model, base, tokens, options));
  TokenScores scores(n_windows * n_scored, base != nullptr);
  for (size_t window = 0; window < n_windows; ++window) {
    if (progress) progress({"eval", "perplexity", window, n_windows, false});
    RETURN_IF_ERROR(check_cancelled());
    RETURN_IF_ERROR(scorer->score_window(window, scores));
  }
  if (progress) progress({"eval", "perplexity", n_windows, n_windows, false});
  RETURN_IF_ERROR(check_finite(scores.nll, model));

  PerplexityReport report;
  report.model = summarize_nll(scores.nll);
  if (base != nullptr) {
    RETURN_IF_ERROR(check_finite(scores.base_nll, *base));
    report.base = summarize_nll(scores.base_nll);
    report.divergence = summarize_divergence(scores);
  }
  report.n_tokens = scores.nll.size();
  report.n_windows = n_windows;
  report.n_text_tokens = tokens.size();
  report.n_ctx = options.n_ctx;
  report.elapsed_s = watch.elapsed_s();
  report.nll = std::move(scores.nll);
  report.kld = std::move(scores.kld);
  return report;
}

Json report_json(const PerplexityReport& report) {
  Json out = {{"ppl", report.model.ppl}, {"ppl_se", report.model.ppl_se}};
  if (report.base) {
    out["base_ppl"] = report.base->ppl;
    out["base_ppl_se"] = report.base->ppl_se;
  }
  if (report.divergence) {
    const Divergence& d = *report.divergence;
    out["kld_mean"] = d.kld_mean;
    out["kld_se"] = d.kld_se;
    out["kld_min"] = d.kld_min;
    out["kld_median"] = d.kld_median;
    out["kld_p90"] = d.kld_p90;
    out["kld_p95"] = d.kld_p95;
    out["kld_p99"] = d.kld_p99;
    out["kld_p999"] = d.kld_p999;
    out["kld_max"] = d.kld_max;
    out["top1_agreement"] = d.top1_agreement;
    out["top1_se"] = d.top1_se;
    out["delta_p_mean"] = d.delta_p_mean;
    out["delta_p_mean_se"] = d.delta_p_mean_se;
    out["delta_p_rms"] = d.delta_p_rms;
    out["nll_correlation"] = d.nll_correlation;
    out["ln_ppl_ratio"] = d.ln_ppl_ratio;
    out["ln_ppl_ratio_se"] = d.ln_ppl_ratio_se;
  }
  out["n_tokens"] = report.n_tokens;
  out["n_windows"] = report.n_windows;
  out["n_text_tokens"] = report.n_text_tokens;
  out["n_ctx"] = report.n_ctx;
  return out;
}

}  // namespace nibble
