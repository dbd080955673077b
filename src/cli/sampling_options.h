// The options of commands that sample tokens, on top of a model's own defaults.
#pragma once

#include <cstdint>
#include <optional>

#include "cli/argument_parser.h"
#include "engine/sampler.h"

namespace nibble {

/// Sampling as the user asked for it; what was not said follows the model's generation_config.json.
struct SamplingOptions {
  std::optional<double> temperature;
  std::optional<uint64_t> top_k;
  std::optional<double> top_p;
  std::optional<double> min_p;
  std::optional<double> repeat_penalty;
  std::optional<double> presence_penalty;
  std::optional<double> frequency_penalty;
  std::optional<uint64_t> seed;

  void declare(ArgumentParser& parser);

  /// `defaults` with what the user said put over it. Without a seed a random one is drawn, so that
  /// every run differs; results tell the seed that was used.
  SamplingParams over(const SamplingParams& defaults) const;
};

}  // namespace nibble
