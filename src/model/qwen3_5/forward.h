// The forward pass as a function of weights, states and scratch memory.
#pragma once

#include <span>

#include "backend/backend.h"
#include "model/config.h"
#include "model/model.h"
#include "model/qwen3_5/scratch.h"
#include "model/qwen3_5/weights.h"

namespace nibble::qwen3_5 {

/// What a pass works with; all borrowed.
struct ForwardContext {
  Backend& backend;
  const ModelConfig& config;
  const Weights& weights;
  const Scratch& scratch;
};

/// Runs a checked batch, advances the states it names, and writes logits [logit_rows, vocab].
/// A tap sees, with n_rows the rows of the batch unless noted:
///   "embed", "layer" (residual stream after the layer), "final_norm" (only the logit rows)
///   "linear_attn.in", ".in_proj_qkv", ".in_proj_z", ".in_proj_b", ".in_proj_a", ".conv" (after
///   SiLU), ".decay", ".beta", ".core_out", ".out_proj.in"
///   "self_attn.in", ".q_proj", ".k_proj", ".v_proj", ".q_norm" and ".k_norm" (a row per token and
///   head), ".q_rope" (likewise), ".o_proj.in"
///   "mlp.in", ".gate_proj", ".up_proj", ".down_proj.in"
///   with experts instead: "mlp.in", ".router.logits", ".router.weights", ".router.experts" (their
///   numbers, as floats), ".experts.down_proj.in" (a row per token and chosen expert, grouped by
///   expert), ".shared_expert.down_proj.in"
/// The names that end in "in" are what the matrices multiply.
void forward(const ForwardContext& context, const Batch& batch, std::span<float> logits, Tap* tap);

}  // namespace nibble::qwen3_5
