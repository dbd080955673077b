// x += sum_e weight_e mlp_e(h) + sigmoid(w_shared h) mlp_shared(h), over the few experts e that the
// router gives each token. Tokens are copied into groups by expert, so that each expert multiplies
// all its tokens at once, and gathered again.
#include "model/qwen3_5/experts.h"

namespace nibble::qwen3_5 {
namespace {

// Experts as floats, for the tap.
void see_choice(const Pass& pass, const Scratch& s, size_t layer) {
  constexpr std::string_view kPoint = "mlp.router.experts";
  const auto layer_id = static_cast<int64_t>(layer);
  if (pass.tap == nullptr || !pass.tap->wants(kPoint, layer_id)) return;
  const size_t n_selected = Pass::n(pass.config.n_experts_per_token);
  std::vector<int32_t> ids(pass.n_rows * n_selected);
  pass.backend.synchronize();
  pass.backend.download(s.experts, ids.size() * sizeof(int32_t), ids.data());
  const std::vector<float> values(ids.begin(), ids.end());
  pass.tap->see(kPoint, layer_id, values, pass.n_rows, n_selected);
}

// rows = mlp_e(rows) for the rows of every expert e.
void chosen_experts(const Pass& pass, const ExpertWeights& w, const Scratch& s, size_t layer) {
  const size_t n_rows = pass.n_rows * Pass::n(pass.config.n_experts_per_token);
  const size_t inner = Pass::n(pass.config.expert_intermediate_size);
  const ExpertProjection inputs[] = {{w.gate_proj, s.expert_gate}, {w.up_proj, s.expert_up}};
  pass.backend.expert_matmul({s.expert_rows, s.first_row, n_rows, inputs});
  pass.backend.swiglu(s.expert_gate, s.expert_up, n_rows * inner, s.expert_gate);
  pass.see("mlp.experts.down_proj.in", layer, {s.expert_gate, n_rows, inner}, inner);
  const ExpertProjection output[] = {{w.down_proj, s.expert_rows}};
  pass.backend.expert_matmul({s.expert_gate, s.first_row, n_rows, output});
}

// shared = mlp_shared(h), shared_gate = w_shared h
void shared_expert(const Pass& pass, const ExpertWeights& w, const Scratch& s, size_t layer) {
  const size_t inner = Pass::n(pass.config.shared_expert_intermediate_size);
  const Projection inputs[] = {{w.shared.gate_proj.get(), s.gate},
                               {w.shared.up_proj.get(), s.up},
                               {w.shared_gate.get(), s.shared_gate}};
  pass.backend.matmul(s.h, pass.n_rows, inputs);
  pass.backend.swiglu(s.gate, s.up, pass.n_rows * inner, s.gate);
  pass.see("mlp.shared_expert.down_proj.in", layer, s.gate, inner);
  const Projection output[] = {{w.shared.down_proj.get(), s.shared}};
  pass.backend.matmul(s.gate, pass.n_rows, output);
}

}  // namespace

void experts(const Pass& pass, const ExpertWeights& w, const Scratch& s, size_t layer) {
  Backend& backend = pass.backend;
  const size_t n_experts = Pass::n(pass.config.n_experts);
  const size_t n_selected = Pass::n(pass.config.n_experts_per_token);

  const Projection router[] = {{w.router.get(), s.router_logits}};
  pass.see("mlp.in", layer, s.h, pass.hidden);
  backend.matmul(s.h, pass.n_rows, router);
  backend.select_experts(
      {s.router_logits, pass.n_rows, n_experts, n_selected, s.experts, s.expert_weights});
  pass.see("mlp.router.logits", layer, s.router_logits, n_experts);
  pass.see("mlp.router.weights", layer, s.expert_weights, n_selected);
  see_choice(pass, s, layer);

  backend.dispatch_to_experts({s.h, s.experts, pass.n_rows, n_experts, n_selected, pass.hidden,
                               s.first_row, s.expert_row, s.expert_rows});
  chosen_experts(pass, w, s, layer);
  shared_expert(pass, w, s, layer);
  backend.combine_experts({s.expert_rows, s.expert_row, s.expert_weights, s.shared, s.shared_gate,
                           pass.n_rows, n_selected, pass.hidden, s.x});
}

}  // namespace nibble::qwen3_5
