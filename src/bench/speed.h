// Tokens per second of a loaded model: reading a prompt, and producing tokens one by one.
#pragma once

#include <cstddef>
#include <vector>

#include "core/json.h"
#include "core/progress.h"
#include "core/result.h"
#include "engine/engine.h"

namespace nibble {

struct SpeedOptions {
  size_t n_prefill = 512;  ///< tokens of the prompt
  size_t n_decode = 128;   ///< tokens produced after one token, as llama-bench's "tg128"
  size_t n_repeats = 5;
};

/// Repeated measurements of one rate, in tokens per second.
struct Rate {
  std::vector<double> samples;  ///< in the order of measuring
  double median = 0.0;
  double least = 0.0;
  double most = 0.0;
};

struct SpeedReport {
  Rate prefill;
  Rate decode;
  SpeedOptions options;
};

/// Times `engine` after one warm-up of each kind. Every repeat starts from an empty state; prompts
/// are fixed pseudo-random ids, decoding feeds back the most probable token. Only the model is
/// timed: no tokenizer, no sampling. Errors: kInvalidArgument (a count of 0), kOutOfMemory,
/// kCancelled.
Result<SpeedReport> measure_speed(Engine& engine, const SpeedOptions& options = {},
                                  const ProgressSink& progress = {});

/// {"prefill_tok_s", "prefill_tok_s_min", "prefill_tok_s_max", "decode_tok_s", ..., "n_prefill",
/// "n_decode", "n_repeats"}
Json report_json(const SpeedReport& report);

}  // namespace nibble
