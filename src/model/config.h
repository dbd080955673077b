// What config.json says about a model of the Qwen3.5 family, every difference a field.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "checkpoint/value_heads.h"
#include "core/json.h"
#include "core/result.h"

namespace nibble {

enum class LayerKind : uint8_t { kLinearAttention, kFullAttention };

/// Sizes and constants of the text model. Counts are of whole heads, channels, layers.
struct ModelConfig {
  std::string architecture;  ///< the class named in config.json
  std::string model_type;
  int64_t hidden_size = 0;
  int64_t intermediate_size = 0;
  int64_t vocab_size = 0;
  int64_t n_layers = 0;
  std::vector<LayerKind> layer_kinds;  ///< [n_layers]
  float rms_norm_eps = 1e-6f;
  bool tie_word_embeddings = false;
  int64_t max_position_embeddings = 0;

  int64_t n_heads = 0;
  int64_t n_kv_heads = 0;
  int64_t head_dim = 0;
  int64_t rotary_dim = 0;
  double rope_theta = 0.0;

  int64_t linear_n_key_heads = 0;
  int64_t linear_n_value_heads = 0;
  int64_t linear_key_dim = 0;    ///< per head
  int64_t linear_value_dim = 0;  ///< per head
  int64_t conv_kernel = 0;
  ValueHeadOrder value_head_order = ValueHeadOrder::kGrouped;  ///< of the stored tensors

  int64_t n_mtp_layers = 0;
  bool has_vision = false;

  int64_t n_experts = 0;  ///< 0 for dense models
  int64_t n_experts_per_token = 0;
  int64_t expert_intermediate_size = 0;
  int64_t shared_expert_intermediate_size = 0;

  /// Ids that end generation according to config.json (text and top level), without duplicates.
  std::vector<int32_t> eos_token_ids;

  int64_t linear_key_size() const { return linear_n_key_heads * linear_key_dim; }
  int64_t linear_value_size() const { return linear_n_value_heads * linear_value_dim; }
  int64_t conv_channels() const { return 2 * linear_key_size() + linear_value_size(); }
};

/// Reads and checks a config.json (nested or flat). Unknown fields are ignored.
/// Errors: kUnsupportedArchitecture (names what is supported), kCorrupt (a field missing or of an
/// impossible value), kUnsupported (a known field with a value that nibble cannot compute).
Result<ModelConfig> parse_model_config(const Json& config, const std::string& subject);

}  // namespace nibble
