// What a GGUF file's metadata says about the model, and the config.json that says the same.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "checkpoint/value_heads.h"
#include "core/json.h"
#include "core/result.h"
#include "formats/gguf.h"

namespace nibble {

/// The sizes that the file's tensors depend on.
struct GgufModelSizes {
  std::string architecture;  ///< "qwen35", "qwen35moe"
  uint64_t n_layers = 0;     ///< of the text model
  uint64_t n_mtp_layers = 0;
  std::vector<bool> is_recurrent;  ///< [n_layers]: DeltaNet instead of attention
  uint64_t hidden_size = 0;
  uint64_t n_heads = 0;
  uint64_t n_kv_heads = 0;
  uint64_t head_dim = 0;
  ValueHeads value_heads;
  uint64_t n_experts = 0;  ///< 0 for dense models

  uint64_t n_blocks() const { return n_layers + n_mtp_layers; }
};

/// Errors: kUnsupportedArchitecture (names what is supported), kCorrupt, kUnsupported, kLimit.
Result<GgufModelSizes> read_gguf_model_sizes(const GgufHeader& header, const std::string& subject);

/// The config.json of the model, as its Hugging Face folder would have it without the vision tower,
/// with "linear_value_head_order" added to text_config. Errors: kCorrupt, kUnsupported.
Result<Json> gguf_config(const GgufHeader& header, const GgufModelSizes& sizes,
                         const std::string& subject);

}  // namespace nibble
