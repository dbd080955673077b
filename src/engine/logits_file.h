// The logits of a token sequence as a file, for people who compare models.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "core/result.h"
#include "engine/engine.h"

namespace nibble {

/// Runs `tokens` from an empty state and writes one tensor `logits` [tokens.size(), vocab_size],
/// F32, to a safetensors file, which exists only once it is whole. Memory: all logits. Errors:
/// those of Engine::score and write_tensor_file.
Status write_logits_file(Engine& engine, std::span<const int32_t> tokens, const std::string& path);

}  // namespace nibble
