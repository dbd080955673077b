// One forward pass of Qwen3.5, in the order of the maths. Rows are tokens; a batch holds rows of
// one or more sequences. Matrix products and norms run over all rows at once, everything that looks
// back in time runs per segment on that sequence's state.
#include "model/qwen3_5/forward.h"

#include <algorithm>
#include <cmath>

#include "model/qwen3_5/experts.h"
#include "model/qwen3_5/pass.h"
#include "model/qwen3_5/state.h"

namespace nibble::qwen3_5 {
namespace {

// The reference adds this inside the root when it normalizes q and k, whatever rms_norm_eps is.
constexpr float kDeltaRuleEps = 1e-6f;

// x += W_out gated_norm(delta_rule(conv(W_qkv h), gates(W_a h, W_b h)), W_z h)
void delta_net(const Pass& pass, const DeltaNetWeights& w, const Scratch& s, size_t layer) {
  Backend& backend = pass.backend;
  const ModelConfig& c = pass.config;
  const size_t n_channels = Pass::n(c.conv_channels());
  const size_t n_heads = Pass::n(c.linear_n_value_heads);
  const size_t value_dim = Pass::n(c.linear_value_dim);
  const size_t key_size = Pass::n(c.linear_key_size());
  const size_t value_size = n_heads * value_dim;

  const Projection inputs[] = {{w.in_proj_qkv.get(), s.qkv},
                               {w.in_proj_z.get(), s.z},
                               {w.in_proj_b.get(), s.b},
                               {w.in_proj_a.get(), s.a}};
  pass.see("linear_attn.in", layer, s.h, pass.hidden);
  backend.matmul(s.h, pass.n_rows, inputs);
  pass.see("linear_attn.in_proj_qkv", layer, s.qkv, n_channels);
  pass.see("linear_attn.in_proj_z", layer, s.z, value_size);
  pass.see("linear_attn.in_proj_b", layer, s.b, n_heads);
  pass.see("linear_attn.in_proj_a", layer, s.a, n_heads);

  backend.delta_gates(
      {s.a, s.b, w.a_log.f32(), w.dt_bias.f32(), pass.n_rows, n_heads, s.decay, s.beta});
  pass.see("linear_attn.decay", layer, s.decay, n_heads);
  pass.see("linear_attn.beta", layer, s.beta, n_heads);

  for (const Segment& segment : pass.batch.segments) {
    const State::Layer& state = static_cast<State*>(segment.state)->layer(layer);
    const size_t row = segment.first_row;
    float* mixed = s.mixed + row * n_channels;  // q, k and v side by side
    backend.causal_conv_silu({s.qkv + row * n_channels, w.conv1d.f32(), state.conv.f32(),
                              segment.n_rows, n_channels, Pass::n(c.conv_kernel), mixed});

    DeltaRuleArgs rule = {};
    rule.q = mixed;
    rule.k = mixed + key_size;
    rule.v = mixed + 2 * key_size;
    rule.token_stride = n_channels;
    rule.decay = s.decay + row * n_heads;
    rule.beta = s.beta + row * n_heads;
    rule.n_tokens = segment.n_rows;
    rule.n_key_heads = Pass::n(c.linear_n_key_heads);
    rule.n_value_heads = n_heads;
    rule.tiles_value_heads = c.value_head_order == ValueHeadOrder::kTiled;
    rule.key_dim = Pass::n(c.linear_key_dim);
    rule.value_dim = value_dim;
    rule.l2_eps = kDeltaRuleEps;
    rule.state = state.recurrent.f32();
    rule.out = s.recalled + row * value_size;
    backend.delta_rule(rule);
  }
  pass.see("linear_attn.conv", layer, s.mixed, n_channels);
  pass.see("linear_attn.core_out", layer, s.recalled, value_size);

  backend.gated_rms_norm(s.recalled, s.z, w.norm.f32(), pass.n_rows * n_heads, value_dim,
                         c.rms_norm_eps, s.recalled);
  pass.see("linear_attn.out_proj.in", layer, s.recalled, value_size);
  const Projection output[] = {{w.out_proj.get(), s.x, true}};
  backend.matmul(s.recalled, pass.n_rows, output);
}

// x += W_o (softmax(rope(norm(W_q h)) rope(norm(W_k h))^T / sqrt(head_dim)) W_v h * sigmoid(gate))
void attention(const Pass& pass, const AttentionWeights& w, const float* inv_freq, const Scratch& s,
               size_t layer) {
  Backend& backend = pass.backend;
  const ModelConfig& c = pass.config;
  const size_t n_heads = Pass::n(c.n_heads);
  const size_t n_kv_heads = Pass::n(c.n_kv_heads);
  const size_t head_dim = Pass::n(c.head_dim);
  const size_t q_head_stride = 2 * head_dim;  // every head's query is followed by its output gate
  const size_t q_size = n_heads * q_head_stride;
  const size_t kv_size = n_kv_heads * head_dim;

  const Projection inputs[] = {{w.q_proj.get(), s.q}, {w.k_proj.get(), s.k}, {w.v_proj.get(), s.v}};
  pass.see("self_attn.in", layer, s.h, pass.hidden);
  backend.matmul(s.h, pass.n_rows, inputs);
  pass.see("self_attn.q_proj", layer, s.q, q_size);
  pass.see("self_attn.k_proj", layer, s.k, kv_size);
  pass.see("self_attn.v_proj", layer, s.v, kv_size);

  const Rows query_heads = {s.q, pass.n_rows * n_heads, q_head_stride};
  const Rows key_heads = {s.k, pass.n_rows * n_kv_heads, head_dim};
  backend.rms_norm(query_heads, w.q_norm.f32(), head_dim, c.rms_norm_eps, query_heads);
  backend.rms_norm(key_heads, w.k_norm.f32(), head_dim, c.rms_norm_eps, key_heads);
  pass.see("self_attn.q_norm", layer, query_heads, head_dim);
  pass.see("self_attn.k_norm", layer, key_heads, head_dim);

  for (const Segment& segment : pass.batch.segments) {
    const State& sequence = *static_cast<State*>(segment.state);
    const State::Layer& cache = sequence.layer(layer);
    const size_t n = segment.n_rows;
    const size_t position = sequence.n_tokens();
    const size_t rotary_dim = Pass::n(c.rotary_dim);
    float* q = s.q + segment.first_row * q_size;
    float* k = s.k + segment.first_row * kv_size;
    const float* v = s.v + segment.first_row * kv_size;
    backend.rope({q, n, n_heads, q_size, q_head_stride, rotary_dim, inv_freq, position});
    backend.rope({k, n, n_kv_heads, kv_size, head_dim, rotary_dim, inv_freq, position});
    backend.kv_append({k, v, n, n_kv_heads, head_dim, position, sequence.capacity(),
                       cache.keys.f32(), cache.values.f32()});

    AttentionArgs args = {};
    args.q = q;
    args.q_token_stride = q_size;
    args.q_head_stride = q_head_stride;
    args.k_cache = cache.keys.f32();
    args.v_cache = cache.values.f32();
    args.cache_capacity = sequence.capacity();
    args.first_position = position;
    args.n_tokens = n;
    args.n_heads = n_heads;
    args.n_kv_heads = n_kv_heads;
    args.head_dim = head_dim;
    args.scale = 1.0f / std::sqrt(static_cast<float>(head_dim));
    args.gate = q + head_dim;
    args.out = s.attended + segment.first_row * n_heads * head_dim;
    backend.attention(args);
  }
  pass.see("self_attn.q_rope", layer, query_heads, head_dim);
  pass.see("self_attn.k_rope", layer, key_heads, head_dim);
  pass.see("self_attn.o_proj.in", layer, s.attended, n_heads * head_dim);
  const Projection output[] = {{w.o_proj.get(), s.x, true}};
  backend.matmul(s.attended, pass.n_rows, output);
}

// x += W_down (silu(W_gate h) * (W_up h))
void mlp(const Pass& pass, const MlpWeights& w, const Scratch& s, size_t layer) {
  const size_t inner = Pass::n(pass.config.intermediate_size);
  const Projection inputs[] = {{w.gate_proj.get(), s.gate}, {w.up_proj.get(), s.up}};
  pass.see("mlp.in", layer, s.h, pass.hidden);
  pass.backend.matmul(s.h, pass.n_rows, inputs);
  pass.see("mlp.gate_proj", layer, s.gate, inner);
  pass.see("mlp.up_proj", layer, s.up, inner);
  pass.backend.swiglu(s.gate, s.up, pass.n_rows * inner, s.gate);
  pass.see("mlp.down_proj.in", layer, s.gate, inner);
  const Projection output[] = {{w.down_proj.get(), s.x, true}};
  pass.backend.matmul(s.gate, pass.n_rows, output);
}

// What the head reads, of all rows and not only of those whose logits are asked for.
void show_head_input(const Pass& pass, const Weights& w, const Scratch& s) {
  if (pass.tap == nullptr || !pass.tap->wants("lm_head.in", 0)) return;
  const Rows x = {s.x, pass.n_rows, pass.hidden};
  const Rows h = {s.h, pass.n_rows, pass.hidden};
  pass.backend.rms_norm(x, w.final_norm.f32(), pass.hidden, pass.config.rms_norm_eps, h);
  pass.see("lm_head.in", 0, s.h, pass.hidden);
}

// logits = W_head norm(x), for the rows that are asked for, some at a time.
void head(const Pass& pass, const Weights& w, const Scratch& s, std::span<float> logits) {
  const size_t vocab = Pass::n(pass.config.vocab_size);
  std::span<const int32_t> rows = pass.batch.logit_rows;
  for (size_t done = 0; done < rows.size();) {
    const size_t n = std::min(rows.size() - done, s.max_logit_rows);
    pass.backend.gather_rows(s.x, rows.subspan(done, n), pass.hidden, s.y);
    const Rows y = {s.y, n, pass.hidden};
    pass.backend.rms_norm(y, w.final_norm.f32(), pass.hidden, pass.config.rms_norm_eps, y);
    pass.see("final_norm", 0, y, pass.hidden);
    const Projection output[] = {{&w.head(), s.logits}};
    pass.backend.matmul(s.y, n, output);
    pass.backend.synchronize();
    pass.backend.download(s.logits, n * vocab * sizeof(float), logits.data() + done * vocab);
    done += n;
  }
}

}  // namespace

void forward(const ForwardContext& context, const Batch& batch, std::span<float> logits, Tap* tap) {
  const Pass pass(context.backend, context.config, batch, tap);
  const Weights& weights = context.weights;
  const Scratch& s = context.scratch;
  const float eps = pass.config.rms_norm_eps;
  const Rows x = {s.x, pass.n_rows, pass.hidden};
  const Rows h = {s.h, pass.n_rows, pass.hidden};

  pass.backend.embed(*weights.embedding, batch.tokens, s.x);
  pass.see("embed", 0, s.x, pass.hidden);
  for (size_t i = 0; i < weights.layers.size(); ++i) {
    const LayerWeights& layer = weights.layers[i];
    pass.backend.rms_norm(x, layer.input_norm.f32(), pass.hidden, eps, h);
    if (layer.delta_net) {
      delta_net(pass, *layer.delta_net, s, i);
    } else {
      attention(pass, *layer.attention, weights.inv_freq.f32(), s, i);
    }
    pass.backend.rms_norm(x, layer.post_attention_norm.f32(), pass.hidden, eps, h);
    if (layer.experts) {
      experts(pass, *layer.experts, s, i);
    } else {
      mlp(pass, *layer.mlp, s, i);
    }
    pass.see("layer", i, s.x, pass.hidden);
  }
  show_head_input(pass, weights, s);
  head(pass, weights, s, logits);

  pass.backend.synchronize();
  for (const Segment& segment : batch.segments) {
    static_cast<State*>(segment.state)->advance(segment.n_rows);
  }
}

}  // namespace nibble::qwen3_5
