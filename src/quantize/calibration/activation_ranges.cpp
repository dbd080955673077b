// The calibration pass: samples through the model, the largest magnitude of every wanted value.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "backend/cpu_backend.h"
#include "core/cancel.h"
#include "model/model.h"
#include "quantize/calibration.h"
#include "quantize/calibration/input_points.h"
#include "quantize/calibration/sample_texts.h"
#include "quantize/quantize.h"

namespace nibble {
namespace {

constexpr size_t kMaxSampleTokens = size_t{1} << 15;

// Keeps the largest magnitude of each wanted point. A maximum does not depend on the order of
// samples.
class MagnitudeTap : public Tap {
 public:
  void want(TapPoint point) { largest_.emplace(point, -1.0f); }

  bool wants(std::string_view point, int64_t layer) override {
    return largest_.count({point, layer}) != 0;
  }

  void see(std::string_view point, int64_t layer, std::span<const float> values, size_t /*n_rows*/,
           size_t /*n_cols*/) override {
    float& largest = largest_.at({point, layer});
    for (const float value : values) {
      // Not std::max: that would lose a NaN.
      if (!(std::fabs(value) <= largest)) largest = std::fabs(value);
      if (std::isnan(largest)) return;
    }
  }

  Result<float> largest(TapPoint point, const std::string& tensor) const {
    const float value = largest_.at(point);
    if (value < 0.0f) {
      return Error(ErrorCode::kUnsupported,
                   "its input cannot be seen while the model runs, so its activation scale cannot "
                   "be calibrated; choose a target without one",
                   tensor);
    }
    if (std::isfinite(value)) return value;
    return Error(ErrorCode::kNotFinite,
                 "the model computes NaN or infinity on the calibration text, before this matrix",
                 tensor);
  }

 private:
  std::map<TapPoint, float> largest_;
};

Result<Tokenizer> open_source_tokenizer(const Checkpoint& source) {
  const auto text = source.side_file("tokenizer.json");
  if (!text) {
    const Error& error = text.error();
    if (error.code != ErrorCode::kNotFound) return error;
    return Error(ErrorCode::kNotFound,
                 "has no tokenizer.json, which calibration needs; recipes whose targets have no "
                 "activation scale do without",
                 source.folder());
  }
  return Tokenizer::from_json(*text, source.folder() + "/tokenizer.json");
}

Status check_options(const CalibrationOptions& options) {
  if (options.n_samples == 0 || options.n_tokens == 0 || options.n_tokens > kMaxSampleTokens) {
    return Error(
        ErrorCode::kInvalidArgument,
        fmt::format("calibration with {} samples of {} tokens; expected at least one sample "
                    "of 1 to {} tokens",
                    options.n_samples, options.n_tokens, kMaxSampleTokens));
  }
  return {};
}

Status run_samples(Model& model, const std::vector<std::vector<int32_t>>& samples,
                   size_t sample_tokens, Tap& tap, const ProgressSink& progress) {
  ASSIGN_OR_RETURN(const std::unique_ptr<SequenceState> state, model.new_state(sample_tokens));
  for (size_t i = 0; i < samples.size(); ++i) {
    if (progress)
      progress({"calibrate", fmt::format("sample {}", i + 1), i, samples.size(), false});
    state->reset();
    std::span<const int32_t> tokens = samples[i];
    while (!tokens.empty()) {
      RETURN_IF_ERROR(check_cancelled());
      const size_t n = std::min(tokens.size(), model.max_batch_rows());
      const Segment segment[] = {{state.get(), 0, n}};
      RETURN_IF_ERROR(model.forward({tokens.first(n), segment, {}}, {}, &tap));
      tokens = tokens.subspan(n);
    }
  }
  if (progress) progress({"calibrate", {}, samples.size(), samples.size(), false});
  return {};
}

// What has to be seen: the points and the tensors that they are for.
struct Wanted {
  std::vector<std::pair<const TensorInfo*, TapPoint>> inputs;
  std::vector<std::pair<const TensorInfo*, TapPoint>> cached;
};

Result<Wanted> wanted_points(const Plan& plan) {
  Wanted wanted;
  for (const PlanRow& row : plan.rows) {
    if (row.target.has_input_scale) {
      const auto point = input_point(row.tensor->name);
      if (!point) {
        return Error(ErrorCode::kUnsupported,
                     "has no known input to calibrate; choose a target without activation scale",
                     row.tensor->name);
      }
      wanted.inputs.emplace_back(row.tensor, *point);
    }
    const auto cache = plan.fp8_cache ? cache_point(row.tensor->name) : std::nullopt;
    if (cache) wanted.cached.emplace_back(row.tensor, *cache);
  }
  return wanted;
}

}  // namespace

Result<ActivationRanges> find_activation_ranges(const Plan& plan, const CalibrationOptions& options,
                                                size_t n_threads, const ProgressSink& progress) {
  RETURN_IF_ERROR(check_options(options));
  ASSIGN_OR_RETURN(const Wanted wanted, wanted_points(plan));
  MagnitudeTap tap;
  for (const auto* list : {&wanted.inputs, &wanted.cached}) {
    for (const auto& [tensor, point] : *list) tap.want(point);
  }
  // The text comes before the weights: what is wrong with it is known at once.
  ASSIGN_OR_RETURN(const Tokenizer tokenizer, open_source_tokenizer(*plan.source));
  ASSIGN_OR_RETURN(const std::vector<std::string> documents, read_documents(options));
  ASSIGN_OR_RETURN(const auto samples, sample_tokens(documents, tokenizer, options));
  ASSIGN_OR_RETURN(const std::unique_ptr<Backend> backend,
                   make_cpu_backend({n_threads, options.cpu_implementation}));
  ModelOptions model_options;
  model_options.max_batch_rows = std::min(model_options.max_batch_rows, options.n_tokens);
  model_options.n_load_threads = n_threads;
  ASSIGN_OR_RETURN(const std::unique_ptr<Model> model,
                   load_model(plan.source, *backend, model_options, progress));
  RETURN_IF_ERROR(run_samples(*model, samples, options.n_tokens, tap, progress));

  ActivationRanges ranges;
  for (const std::vector<int32_t>& sample : samples) ranges.n_tokens += sample.size();
  for (const auto& [tensor, point] : wanted.inputs) {
    ASSIGN_OR_RETURN(ranges.inputs[tensor], tap.largest(point, tensor->name));
  }
  for (const auto& [tensor, point] : wanted.cached) {
    ASSIGN_OR_RETURN(ranges.cached[tensor], tap.largest(point, tensor->name));
  }
  return ranges;
}

}  // namespace nibble
