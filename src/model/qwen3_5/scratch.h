// The working memory of one forward pass, sized once at load.
#pragma once

#include <cstddef>
#include <cstdint>

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

  // MLP, and the expert that all tokens share
  float* gate = nullptr;  ///< [intermediate]
  float* up = nullptr;    ///< [intermediate]

  // Experts. Arrays in group order (backend/expert_ops.h) have a row per token and chosen expert.
  float* router_logits = nullptr;   ///< [experts]
  float* expert_weights = nullptr;  ///< [chosen]
  int32_t* experts = nullptr;       ///< [chosen]
  int32_t* expert_row = nullptr;    ///< [chosen]
  int32_t* first_row = nullptr;     ///< experts + 1 of them, not one per token
  float* expert_rows = nullptr;     ///< group order, [hidden]: inputs, then outputs
  float* expert_gate = nullptr;     ///< group order, [expert intermediate]
  float* expert_up = nullptr;       ///< group order, [expert intermediate]
  float* shared = nullptr;          ///< [hidden]
  float* shared_gate = nullptr;     ///< [1]

  // Head
  float* y = nullptr;       ///< [max_logit_rows, hidden]
  float* logits = nullptr;  ///< [max_logit_rows, vocab]
};

/// Errors: kOutOfMemory.
Result<Scratch> make_scratch(const ModelConfig& config, size_t max_rows, Backend& backend);

}  // namespace nibble::qwen3_5
