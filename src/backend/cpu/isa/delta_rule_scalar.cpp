// Reference delta rule: the recurrence of DeltaRuleArgs, token after token, sums in double.
#include <cmath>

#include "backend/cpu/isa/scalar.h"

namespace nibble::scalar {
namespace {

void l2_normalize(const float* x, size_t dim, float eps, float scale, float* out) {
  double sum = 0.0;
  for (size_t i = 0; i < dim; ++i) sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  const double inverse = 1.0 / std::sqrt(sum + static_cast<double>(eps));
  const auto factor = static_cast<float>(inverse * static_cast<double>(scale));
  for (size_t i = 0; i < dim; ++i) out[i] = x[i] * factor;
}

// One token for one column of the state, whose rows lie `stride` apart.
float step_column(float* column, size_t stride, size_t key_dim, const float* q, const float* k,
                  float v, float decay, float beta) {
  double prediction = 0.0;
  for (size_t i = 0; i < key_dim; ++i) {
    column[i * stride] *= decay;
    prediction += static_cast<double>(column[i * stride]) * static_cast<double>(k[i]);
  }
  const float delta = beta * (v - static_cast<float>(prediction));
  double out = 0.0;
  for (size_t i = 0; i < key_dim; ++i) {
    column[i * stride] += k[i] * delta;
    out += static_cast<double>(column[i * stride]) * static_cast<double>(q[i]);
  }
  return static_cast<float>(out);
}

}  // namespace

size_t delta_rule_scratch_floats(const DeltaRuleArgs& args) { return 2 * args.key_dim; }

void delta_rule(const DeltaRuleArgs& args, const DeltaPart& part, float* scratch) {
  const size_t key_head = args.tiles_value_heads
                              ? part.head % args.n_key_heads
                              : part.head / (args.n_value_heads / args.n_key_heads);
  float* q = scratch;
  float* k = scratch + args.key_dim;
  const auto q_scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(args.key_dim)));
  float* state = args.state + part.head * args.key_dim * args.value_dim;
  for (size_t t = 0; t < args.n_tokens; ++t) {
    const size_t key_offset = t * args.token_stride + key_head * args.key_dim;
    l2_normalize(args.q + key_offset, args.key_dim, args.l2_eps, q_scale, q);
    l2_normalize(args.k + key_offset, args.key_dim, args.l2_eps, 1.0f, k);
    const size_t gate = t * args.n_value_heads + part.head;
    const float decay = std::exp(args.decay[gate]);
    const float* v = args.v + t * args.token_stride + part.head * args.value_dim;
    float* out = args.out + (t * args.n_value_heads + part.head) * args.value_dim;
    for (size_t j = part.columns.begin; j < part.columns.end; ++j) {
      out[j] =
          step_column(state + j, args.value_dim, args.key_dim, q, k, v[j], decay, args.beta[gate]);
    }
  }
}

}  // namespace nibble::scalar
