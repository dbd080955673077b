// The metadata of a GGUF file that describe the model: what loaders build its graph from.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "checkpoint/value_heads.h"
#include "core/json.h"
#include "core/result.h"
#include "formats/gguf.h"

namespace nibble {

/// The numbers of a config.json that decide how tensors are laid out in a GGUF file.
struct GgufModelShape {
  bool is_mixture_of_experts = false;
  uint64_t n_layers = 0;  ///< without those of multi-token prediction
  uint64_t n_experts = 0;
  ValueHeads heads;
  ValueHeadOrder source_order = ValueHeadOrder::kGrouped;  ///< of the tensors of the source

  /// "qwen35" or "qwen35moe".
  std::string architecture() const { return is_mixture_of_experts ? "qwen35moe" : "qwen35"; }
};

/// Reads them. `subject` names the config in messages. Errors: kCorrupt, kUnsupported (not a model
/// of this family).
Result<GgufModelShape> read_gguf_model_shape(const Json& config, const std::string& subject);

/// What the fields say beside the config.
struct GgufContents {
  std::string name;                  ///< of the model, for people
  uint64_t n_mtp_layers = 0;         ///< in the file
  uint64_t vocab_size = 0;           ///< rows of the embedding
  uint64_t n_parameters = 0;         ///< values of all tensors
  uint64_t n_expert_parameters = 0;  ///< of those, values of routed experts
  uint32_t file_type = 0;            ///< general.file_type: the number type of most matrices
};

/// general.*, and everything below the name of the architecture.
///   generation  the parsed generation_config.json, or null
/// Errors: kCorrupt (a field that is missing or of the wrong kind), kUnsupported (a rotary
/// embedding with context extension).
Result<std::vector<GgufField>> gguf_model_fields(const Json& config, const Json& generation,
                                                 const GgufContents& contents,
                                                 const std::string& subject);

}  // namespace nibble
