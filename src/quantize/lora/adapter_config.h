// adapter_config.json of a LoRA adapter: what the adapter's numbers mean.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/json.h"
#include "core/result.h"

namespace nibble {

/// What fixes the factor of each pair of matrices.
struct LoraConfig {
  uint64_t rank = 0;
  double alpha = 0.0;
  bool rank_stabilised = false;
  std::vector<std::pair<std::string, double>> rank_pattern;   ///< expression, rank
  std::vector<std::pair<std::string, double>> alpha_pattern;  ///< expression, alpha
};

/// Reads the settings and refuses what merging by a sum cannot express.
/// Errors: kUnsupported, kCorrupt.
Result<LoraConfig> parse_lora_config(const Json& config, const std::string& subject);

/// The value of the first expression that is the end of the module's name, at a dot or at its
/// beginning; `otherwise` where none is. Errors: kInvalidArgument (a bad expression).
Result<double> pattern_value(const std::vector<std::pair<std::string, double>>& patterns,
                             std::string_view module, double otherwise);

}  // namespace nibble
