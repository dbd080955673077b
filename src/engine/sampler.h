// Turns logits into the next token.
//
// In this order, with the definitions of vLLM: repetition penalty, frequency and presence penalty,
// temperature, min-p, top-k, top-p, draw. Each filter sees what the ones before it left, and top-p
// the probabilities renormalized over that.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "core/result.h"

namespace nibble {

/// Sampling settings, with the meaning that OpenAI-compatible servers give them.
struct SamplingParams {
  float temperature = 0.0f;  ///< 0: greedy
  int32_t top_k = 0;         ///< 0 or -1: all
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
  ///   params          accepted by check_sampling
  ///   n_valid_tokens  ids at or above it are never sampled (unused rows of the head)
  Sampler(const SamplingParams& params, size_t n_valid_tokens,
          std::span<const int32_t> prompt_tokens);

  /// Picks a token from logits [vocab_size] and remembers it. The logits are changed in place.
  /// NaN is never picked; without any number above minus infinity the answer is token 0. Equal
  /// logits: the lower id comes first.
  int32_t sample(std::span<float> logits);

 private:
  struct Candidate {
    float logit;
    int32_t token;
    uint64_t weight;  // probability, up to a factor
  };

  void apply_penalties(std::span<float> logits) const;
  int32_t pick(std::span<const float> logits);
  void weigh(float greatest);
  void keep_top_k();
  void keep_top_p();
  int32_t draw();

  SamplingParams params_;
  size_t n_valid_tokens_;
  std::unordered_map<int32_t, int32_t> output_counts_;
  std::unordered_set<int32_t> prompt_tokens_;
  uint64_t random_state_;
  std::vector<Candidate> candidates_;
};

}  // namespace nibble
