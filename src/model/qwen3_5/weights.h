// The weights of a loaded model, as the forward pass reads them.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "backend/backend.h"
#include "checkpoint/checkpoint.h"
#include "core/progress.h"
#include "core/result.h"
#include "model/config.h"
#include "model/model.h"

namespace nibble::qwen3_5 {

/// Small tensors are F32 on the device. Norm weights marked (1+w) have the one already added.
struct DeltaNetWeights {
  std::unique_ptr<Matrix> in_proj_qkv;  ///< [2 key size + value size, hidden]: q, k, v rows
  std::unique_ptr<Matrix> in_proj_z;    ///< [value size, hidden]
  std::unique_ptr<Matrix> in_proj_b;    ///< [value heads, hidden]
  std::unique_ptr<Matrix> in_proj_a;    ///< [value heads, hidden]
  std::unique_ptr<Matrix> out_proj;     ///< [hidden, value size]
  Buffer conv1d;                        ///< [channels, kernel]
  Buffer a_log;                         ///< [value heads]
  Buffer dt_bias;                       ///< [value heads]
  Buffer norm;                          ///< [value dim], plain
};

struct AttentionWeights {
  std::unique_ptr<Matrix> q_proj;  ///< [2 * heads * head_dim, hidden]: per head query, then gate
  std::unique_ptr<Matrix> k_proj;  ///< [kv heads * head_dim, hidden]
  std::unique_ptr<Matrix> v_proj;
  std::unique_ptr<Matrix> o_proj;  ///< [hidden, heads * head_dim]
  Buffer q_norm;                   ///< [head_dim] (1+w)
  Buffer k_norm;
};

struct MlpWeights {
  std::unique_ptr<Matrix> gate_proj;  ///< [intermediate, hidden]
  std::unique_ptr<Matrix> up_proj;
  std::unique_ptr<Matrix> down_proj;  ///< [hidden, intermediate]
};

struct ExpertWeights {
  std::unique_ptr<Matrix> router;                  ///< [experts, hidden]
  std::vector<std::unique_ptr<Matrix>> gate_proj;  ///< [experts], each [intermediate, hidden]
  std::vector<std::unique_ptr<Matrix>> up_proj;    ///< [experts]
  std::vector<std::unique_ptr<Matrix>> down_proj;  ///< [experts], each [hidden, intermediate]
  MlpWeights shared;                               ///< the expert that all tokens share
  std::unique_ptr<Matrix> shared_gate;             ///< [1, hidden]
};

struct LayerWeights {
  Buffer input_norm;                         ///< [hidden] (1+w)
  Buffer post_attention_norm;                ///< [hidden] (1+w)
  std::optional<DeltaNetWeights> delta_net;  ///< exactly one of the two
  std::optional<AttentionWeights> attention;
  std::optional<MlpWeights> mlp;  ///< exactly one of the two
  std::optional<ExpertWeights> experts;
};

struct Weights {
  std::unique_ptr<Matrix> embedding;    ///< [vocab, hidden]
  std::unique_ptr<Matrix> stored_head;  ///< nothing where the embedding serves as head
  Buffer final_norm;                    ///< [hidden] (1+w)
  Buffer inv_freq;                      ///< [rotary_dim / 2]
  std::vector<LayerWeights> layers;
  /// Everything but the embedding table and the experts that a token is not sent to.
  uint64_t bytes_per_token = 0;

  const Matrix& head() const { return stored_head ? *stored_head : *embedding; }
};

/// Errors: kUnsupported, kNotFinite, kOutOfMemory, kIo.
Result<Weights> load_weights(const Checkpoint& checkpoint, const ModelConfig& config,
                             Backend& backend, const ModelOptions& options,
                             const ProgressSink& progress);

}  // namespace nibble::qwen3_5
