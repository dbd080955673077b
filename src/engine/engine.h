// A folder made ready to run: tokenizer, model, state; generation and scoring of token sequences.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/json.h"
#include "core/progress.h"
#include "core/result.h"
#include "engine/sampler.h"
#include "model/model.h"
#include "tokenizer/tokenizer.h"

namespace nibble {

struct EngineOptions {
  size_t n_threads = 0;            ///< 0: one per processor
  std::string cpu_implementation;  ///< empty: the best; "scalar" is the reference
  size_t max_batch_rows = 512;
  /// False: a folder without tokenizer.json opens too; then tokenizer() must not be called, and
  /// every row of the head may be sampled.
  bool requires_tokenizer = true;
};

/// How an answer ended.
enum class FinishReason { kStop, kLength, kCancelled, kContextFull };

/// "stop", "length", "cancelled", "context full".
std::string_view finish_reason_name(FinishReason reason);

struct GenerationParams {
  SamplingParams sampling;
  size_t max_new_tokens = 256;
  bool ignore_stop_tokens = false;
};

struct GenerationResult {
  std::vector<int32_t> tokens;  ///< without the stop token
  FinishReason finish = FinishReason::kLength;
  size_t n_prompt_tokens = 0;
  double prefill_s = 0.0;
  double decode_s = 0.0;
};

/// Called with every new token that is part of the answer; false stops the generation (kCancelled).
using TokenSink = std::function<bool(int32_t token)>;

/// Called with the logits [vocab_size] after tokens[position]; an error stops the scoring.
using LogitsSink = std::function<Status(size_t position, std::span<const float> logits)>;

/// One model on one backend. Used by one thread at a time.
class Engine {
 public:
  /// Opens a checkpoint folder. Errors: those of Checkpoint::open, load_model,
  /// Tokenizer::from_json, make_cpu_backend.
  static Result<std::unique_ptr<Engine>> open(const std::string& folder,
                                              const EngineOptions& options = {},
                                              const ProgressSink& progress = {});
  ~Engine();

  const Checkpoint& checkpoint() const;
  bool has_tokenizer() const;
  const Tokenizer& tokenizer() const;
  Model& model();
  const ModelConfig& config() const;
  std::string backend_description() const;

  /// tokenizer_config.json, or an empty object; chat_template.jinja, or else the template that
  /// older folders keep in tokenizer_config.json, if there is one.
  const Json& tokenizer_config() const;
  const std::optional<std::string>& chat_template() const;

  /// Union of the end tokens of config, generation_config and tokenizer_config, rising.
  std::span<const int32_t> stop_tokens() const;
  /// Sampling settings of generation_config.json, where it has any (do_sample false is greedy).
  const SamplingParams& default_sampling() const;

  /// Runs the prompt and samples until a stop token, the limit, or a full context. Ctrl-C
  /// (core/cancel.h) ends it with kCancelled. Errors: kInvalidArgument (empty prompt, a prompt
  /// longer than the context, bad sampling), kNotFinite (the model gave NaN), kOutOfMemory, kIo.
  Result<GenerationResult> generate(std::span<const int32_t> prompt, const GenerationParams& params,
                                    const TokenSink& sink = {});

  /// Runs `tokens` from an empty state and hands over the logits of positions [first,
  /// tokens.size()). Errors: kInvalidArgument, kOutOfMemory, kIo, kCancelled, the sink's.
  Status score(std::span<const int32_t> tokens, size_t first, const LogitsSink& sink);

 private:
  struct Impl;
  explicit Engine(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace nibble
