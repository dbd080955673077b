#include "engine/engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "backend/cpu_backend.h"
#include "core/cancel.h"
#include "core/check.h"
#include "core/clock.h"
#include "engine/model_folder.h"
#include "engine/sequence_run.h"

namespace nibble {
namespace {

// Bounds the host memory that score() needs for the logits of one batch.
constexpr size_t kMaxScoreBytes = size_t{128} << 20;

Status check_logits(std::span<const float> logits, size_t position) {
  const bool has_nan =
      std::any_of(logits.begin(), logits.end(), [](float logit) { return std::isnan(logit); });
  if (!has_nan) return {};
  return Error(ErrorCode::kNotFinite,
               fmt::format("the model computed NaN after position {}; its weights are damaged or "
                           "overflow single precision",
                           position));
}

}  // namespace

std::string_view finish_reason_name(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kCancelled:
      return "cancelled";
    case FinishReason::kContextFull:
      return "context full";
  }
  CHECK(false);
}

// Destroyed in reverse: the model before the backend and the checkpoint that it uses.
struct Engine::Impl {
  std::shared_ptr<const Checkpoint> checkpoint;
  std::unique_ptr<Backend> backend;
  std::unique_ptr<Model> model;
  ModelFolder folder;

  // Ids that may be sampled: those that mean something to the tokenizer.
  size_t n_valid_tokens() const {
    const auto vocab_size = static_cast<size_t>(model->config().vocab_size);
    return folder.tokenizer ? std::min(folder.tokenizer->size(), vocab_size) : vocab_size;
  }
  bool is_stop_token(int32_t token) const {
    return std::binary_search(folder.stop_tokens.begin(), folder.stop_tokens.end(), token);
  }
};

Engine::Engine(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Engine::~Engine() = default;

Result<std::unique_ptr<Engine>> Engine::open(const std::string& folder,
                                             const EngineOptions& options,
                                             const ProgressSink& progress) {
  auto impl = std::make_unique<Impl>();
  ASSIGN_OR_RETURN(impl->backend,
                   make_cpu_backend({options.n_threads, options.cpu_implementation}));
  ASSIGN_OR_RETURN(impl->checkpoint, Checkpoint::open(folder));
  // The small files come first: whatever is wrong with them is known before the weights are read.
  ASSIGN_OR_RETURN(const ModelConfig config,
                   parse_model_config(impl->checkpoint->config(), folder + "/config.json"));
  const auto side_file = [&](std::string_view name) { return impl->checkpoint->side_file(name); };
  ASSIGN_OR_RETURN(impl->folder,
                   read_model_folder(side_file, folder, config, options.requires_tokenizer));
  ModelOptions model_options;
  model_options.max_batch_rows = options.max_batch_rows;
  model_options.n_load_threads = options.n_threads;
  ASSIGN_OR_RETURN(impl->model,
                   load_model(impl->checkpoint, *impl->backend, model_options, progress));
  return std::unique_ptr<Engine>(new Engine(std::move(impl)));
}

const Checkpoint& Engine::checkpoint() const { return *impl_->checkpoint; }
bool Engine::has_tokenizer() const { return impl_->folder.tokenizer.has_value(); }
const Tokenizer& Engine::tokenizer() const {
  CHECK(has_tokenizer());
  return *impl_->folder.tokenizer;
}
Model& Engine::model() { return *impl_->model; }
const ModelConfig& Engine::config() const { return impl_->model->config(); }
std::string Engine::backend_description() const { return impl_->backend->description(); }
const Json& Engine::tokenizer_config() const { return impl_->folder.tokenizer_config; }
const std::optional<std::string>& Engine::chat_template() const {
  return impl_->folder.chat_template;
}
std::span<const int32_t> Engine::stop_tokens() const { return impl_->folder.stop_tokens; }
const SamplingParams& Engine::default_sampling() const { return impl_->folder.default_sampling; }

Result<GenerationResult> Engine::generate(std::span<const int32_t> prompt,
                                          const GenerationParams& params, const TokenSink& sink) {
  RETURN_IF_ERROR(check_sampling(params.sampling));
  const auto context = static_cast<size_t>(config().max_position_embeddings);
  if (prompt.empty() || prompt.size() > context) {
    return Error(ErrorCode::kInvalidArgument,
                 fmt::format("the prompt has {} tokens; expected 1 to {}, the model's context",
                             prompt.size(), context));
  }
  GenerationResult result;
  result.n_prompt_tokens = prompt.size();
  if (params.max_new_tokens == 0) return result;

  const size_t n_most = std::min(context - prompt.size(), params.max_new_tokens);
  ASSIGN_OR_RETURN(SequenceRun run, SequenceRun::create(*impl_->model, prompt.size() + n_most));
  std::vector<float> logits(static_cast<size_t>(config().vocab_size));
  const Stopwatch prefill;
  const Status fed = run.feed_all(prompt, logits);
  result.prefill_s = prefill.elapsed_s();
  if (!fed && fed.error().code == ErrorCode::kCancelled) {
    result.finish = FinishReason::kCancelled;
    return result;
  }
  RETURN_IF_ERROR(fed);

  const Stopwatch decode;
  Sampler sampler(params.sampling, impl_->n_valid_tokens(), prompt);
  while (true) {
    RETURN_IF_ERROR(check_logits(logits, prompt.size() + result.tokens.size() - 1));
    const int32_t token = sampler.sample(logits);
    if (!params.ignore_stop_tokens && impl_->is_stop_token(token)) {
      result.finish = FinishReason::kStop;
      break;
    }
    result.tokens.push_back(token);
    if ((sink && !sink(token)) || cancel_signal() != 0) {
      result.finish = FinishReason::kCancelled;
      break;
    }
    if (result.tokens.size() >= params.max_new_tokens) break;
    if (result.tokens.size() > n_most) {
      result.finish = FinishReason::kContextFull;
      break;
    }
    RETURN_IF_ERROR(run.feed({&token, 1}, 1, logits));
  }
  result.decode_s = decode.elapsed_s();
  return result;
}

Status Engine::score(std::span<const int32_t> tokens, size_t first, const LogitsSink& sink) {
  if (tokens.empty()) return Error(ErrorCode::kInvalidArgument, "there are no tokens to score");
  ASSIGN_OR_RETURN(SequenceRun run, SequenceRun::create(*impl_->model, tokens.size()));
  const auto vocab_size = static_cast<size_t>(config().vocab_size);
  const size_t n_most = std::clamp<size_t>(kMaxScoreBytes / sizeof(float) / vocab_size, 1,
                                           impl_->model->max_batch_rows());
  std::vector<float> logits;
  for (size_t begin = 0; begin < tokens.size();) {
    RETURN_IF_ERROR(check_cancelled());
    const size_t n = std::min(tokens.size() - begin, n_most);
    const size_t first_wanted = std::clamp(first, begin, begin + n);
    const size_t n_wanted = begin + n - first_wanted;
    logits.resize(n_wanted * vocab_size);
    RETURN_IF_ERROR(run.feed(tokens.subspan(begin, n), n_wanted, logits));
    for (size_t i = 0; i < n_wanted; ++i) {
      RETURN_IF_ERROR(sink(first_wanted + i, {logits.data() + i * vocab_size, vocab_size}));
    }
    begin += n;
  }
  return {};
}

}  // namespace nibble
