#include "cli/sampling_options.h"

#include <algorithm>
#include <limits>
#include <random>

namespace nibble {

void SamplingOptions::declare(ArgumentParser& parser) {
  parser.group("Sampling (default: the model's generation_config.json)");
  parser.option("--temperature,--temp", temperature, "0 always takes the most probable token");
  parser.option("--top-k", top_k, "Choose among the k most probable tokens; 0: all");
  parser.option("--top-p", top_p, "Choose among the most probable tokens that sum up to p");
  parser.option("--min-p", min_p, "Leave out tokens below this share of the most probable one");
  parser.option("--repeat-penalty,--repetition-penalty", repeat_penalty,
                "Divide the odds of tokens seen in prompt or answer; 1: off");
  parser.option("--presence-penalty", presence_penalty,
                "Subtract from the logits of tokens in the answer");
  parser.option("--frequency-penalty", frequency_penalty, "The same, for every occurrence");
  parser.option("-s,--seed", seed, "Same seed, same answer; random if not given");
  parser.group("Options");
}

SamplingParams SamplingOptions::over(const SamplingParams& defaults) const {
  SamplingParams out = defaults;
  const auto set = [](const std::optional<double>& given, float& field) {
    if (given) field = static_cast<float>(*given);
  };
  set(temperature, out.temperature);
  set(top_p, out.top_p);
  set(min_p, out.min_p);
  set(repeat_penalty, out.repetition_penalty);
  set(presence_penalty, out.presence_penalty);
  set(frequency_penalty, out.frequency_penalty);
  if (top_k) {
    constexpr uint64_t kMost = std::numeric_limits<int32_t>::max();
    out.top_k = static_cast<int32_t>(std::min(*top_k, kMost));
  }
  out.seed = seed ? *seed : std::random_device{}();
  return out;
}

}  // namespace nibble
