#include "bench/speed.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>

#include "bench/summary.h"
#include "core/cancel.h"
#include "core/clock.h"

namespace nibble {
namespace {

/// The runs that are timed, on one state that is emptied before each.
class SpeedRun {
 public:
  static Result<SpeedRun> create(Engine& engine, size_t capacity) {
    ASSIGN_OR_RETURN(auto state, engine.model().new_state(capacity));
    return SpeedRun(engine, std::move(state));
  }

  /// Seconds to read `prompt` and have the logits after its last token.
  Result<double> prefill_s(std::span<const int32_t> prompt) {
    state_->reset();
    const Stopwatch watch;
    const size_t max_rows = engine_->model().max_batch_rows();
    while (!prompt.empty()) {
      const size_t n_rows = std::min(prompt.size(), max_rows);
      RETURN_IF_ERROR(feed(prompt.first(n_rows), n_rows == prompt.size()));
      prompt = prompt.subspan(n_rows);
    }
    return watch.elapsed_s();
  }

  /// Seconds to produce `n_tokens` tokens after `first`.
  Result<double> decode_s(int32_t first, size_t n_tokens) {
    state_->reset();
    const Stopwatch watch;
    int32_t token = first;
    for (size_t i = 0; i < n_tokens; ++i) {
      RETURN_IF_ERROR(feed({&token, 1}, true));
      token =
          static_cast<int32_t>(std::max_element(logits_.begin(), logits_.end()) - logits_.begin());
    }
    return watch.elapsed_s();
  }

 private:
  SpeedRun(Engine& engine, std::unique_ptr<SequenceState> state)
      : engine_(&engine),
        state_(std::move(state)),
        logits_(static_cast<size_t>(engine.config().vocab_size)) {}

  Status feed(std::span<const int32_t> tokens, bool wants_logits) {
    RETURN_IF_ERROR(check_cancelled());
    const Segment segment{state_.get(), 0, tokens.size()};
    const auto last_row = static_cast<int32_t>(tokens.size() - 1);
    const size_t n_wanted = wants_logits ? 1 : 0;
    const Batch batch{tokens, {&segment, 1}, {&last_row, n_wanted}};
    return engine_->model().forward(batch, {logits_.data(), n_wanted * logits_.size()});
  }

  Engine* engine_;
  std::unique_ptr<SequenceState> state_;
  std::vector<float> logits_;
};

/// Ids spread over the vocabulary, the same on every machine.
std::vector<int32_t> spread_tokens(size_t n, size_t vocab_size) {
  std::vector<int32_t> tokens(n);
  uint64_t state = 1;
  for (int32_t& token : tokens) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    token = static_cast<int32_t>((state >> 33) % vocab_size);
  }
  return tokens;
}

Rate summarize_rate(std::vector<double> samples) {
  Rate rate;
  std::vector<double> sorted = samples;
  std::sort(sorted.begin(), sorted.end());
  rate.median = percentile(sorted, 0.5);
  rate.least = sorted.front();
  rate.most = sorted.back();
  rate.samples = std::move(samples);
  return rate;
}

}  // namespace

Result<SpeedReport> measure_speed(Engine& engine, const SpeedOptions& options,
                                  const ProgressSink& progress) {
  if (options.n_prefill == 0 || options.n_decode == 0 || options.n_repeats == 0) {
    return Error(ErrorCode::kInvalidArgument, "the counts of a speed measurement must be positive");
  }
  const std::vector<int32_t> prompt =
      spread_tokens(options.n_prefill, static_cast<size_t>(engine.config().vocab_size));
  ASSIGN_OR_RETURN(SpeedRun run,
                   SpeedRun::create(engine, std::max(options.n_prefill, options.n_decode)));
  RETURN_IF_ERROR(run.prefill_s(prompt));
  RETURN_IF_ERROR(run.decode_s(prompt.front(), std::min<size_t>(options.n_decode, 16)));

  std::vector<double> prefill;
  std::vector<double> decode;
  for (size_t repeat = 0; repeat < options.n_repeats; ++repeat) {
    if (progress) progress({"eval", "speed", repeat, options.n_repeats, false});
    ASSIGN_OR_RETURN(const double prefill_s, run.prefill_s(prompt));
    prefill.push_back(static_cast<double>(options.n_prefill) / prefill_s);
    ASSIGN_OR_RETURN(const double decode_s, run.decode_s(prompt.front(), options.n_decode));
    decode.push_back(static_cast<double>(options.n_decode) / decode_s);
  }
  if (progress) progress({"eval", "speed", options.n_repeats, options.n_repeats, false});
  return SpeedReport{summarize_rate(std::move(prefill)), summarize_rate(std::move(decode)),
                     options};
}

Json report_json(const SpeedReport& report) {
  return {{"prefill_tok_s", report.prefill.median},   {"prefill_tok_s_min", report.prefill.least},
          {"prefill_tok_s_max", report.prefill.most}, {"decode_tok_s", report.decode.median},
          {"decode_tok_s_min", report.decode.least},  {"decode_tok_s_max", report.decode.most},
          {"n_prefill", report.options.n_prefill},    {"n_decode", report.options.n_decode},
          {"n_repeats", report.options.n_repeats}};
}

}  // namespace nibble
