// The working memory of one forward pass, sized once at load.
#pragma once

#include <cstddef>

#include "backend/backend.h"
#include "core/result.h"
#include "model/config.h"

namespace nibble::qwen3_5 {

/// Device arrays with one row per token of a batch, [max_rows, width]. Those of the two kinds of
/// token mixing, of the MLP and of the head share memory, since they are never alive together.
struct Scratch {
  Buffer memory;
  size_t max_rows = 0;
  size_t max_logit_rows = 0;  ///< rows of the head's output that are computed at a time

  float* x = nullptr;  ///< [hidden] the residual stream
  float* h = nullptr;  ///< [hidden] the normalized input of a block

  // DeltaNet
  float* qkv = nullptr;       ///< [channels] before the convolution
  float* mixed = nullptr;     ///< [channels] after it: q, k, v
  float* z = nullptr;         ///< [value size]
  float* b = nullptr;         ///< [value heads]
  float* a = nullptr;         ///< [value heads]
  float* decay = nullptr;     ///< [value heads]
  float* beta = nullptr;      ///< [value heads]
  float* recalled = nullptr;  ///< [value size]

  // Attention
  float* q = nullptr;         ///< [heads, 2 * head_dim]: query, then output gate
  float* k = nullptr;         ///< [kv heads * head_dim]
  float* v = nullptr;         ///< [kv heads * head_dim]
  float* attended = nullptr;  ///< [heads * head_dim]

  // MLP
  float* gate = nullptr;  ///< [intermediate]
  float* up = nullptr;    ///< [intermediate]

  // Head
  float* y = nullptr;       ///< [max_logit_rows, hidden]
  float* logits = nullptr;  ///< [max_logit_rows, vocab]
};

/// Errors: kOutOfMemory.
Result<Scratch> make_scratch(const ModelConfig& config, size_t max_rows, Backend& backend);

}  // namespace nibble::qwen3_5
