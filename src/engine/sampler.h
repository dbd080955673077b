// Turns logits into the next token.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "core/result.h"

namespace nibble {

/// Sampling settings, with the meaning that OpenAI-compatible servers give them.
struct SamplingParams {
  float temperature = 0.0f;  ///< 0: greedy
  int32_t top_k = 0;         ///< 0: all
  float top_p = 1.0f;
  float min_p = 0.0f;
  float repetition_penalty = 1.0f;  ///< prompt and output
  float presence_penalty = 0.0f;    ///< output only
  float frequency_penalty = 0.0f;   ///< output only
  uint64_t seed = 0;
};

/// Errors: kInvalidArgument, naming the field, its value and its range.
Status check_sampling(const SamplingParams& params);

/// The state of sampling for one sequence. Deterministic: the same logits, history and seed give
/// the same tokens on every machine.
class Sampler {
 public:
  ///   n_valid_tokens  ids at or above it are never sampled (unused rows of the head)
  Sampler(const SamplingParams& params, size_t n_valid_tokens,
          std::span<const int32_t> prompt_tokens);

  /// Picks a token from logits [vocab_size] and remembers it. The logits are changed in place.
  int32_t sample(std::span<float> logits);

 private:
  void apply_penalties(std::span<float> logits) const;

  SamplingParams params_;
  size_t n_valid_tokens_;
  std::unordered_map<int32_t, int32_t> output_counts_;
  std::unordered_map<int32_t, int32_t> prompt_counts_;
  uint64_t random_state_;
  std::vector<std::pair<float, int32_t>> candidates_;
};

}  // namespace nibble
