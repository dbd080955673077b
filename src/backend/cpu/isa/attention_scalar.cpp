// Reference attention: all scores of one query, softmax over them, then the weighted values.
#include <cmath>
#include <limits>

#include "backend/cpu/isa/scalar.h"

namespace nibble::scalar {
namespace {

// Turns scores into probabilities in place.
void softmax(float* scores, size_t n) {
  float max = -std::numeric_limits<float>::infinity();
  for (size_t j = 0; j < n; ++j) max = std::fmax(max, scores[j]);
  double sum = 0.0;
  for (size_t j = 0; j < n; ++j) {
    scores[j] = std::exp(scores[j] - max);
    sum += static_cast<double>(scores[j]);
  }
  const auto inverse = static_cast<float>(1.0 / sum);
  for (size_t j = 0; j < n; ++j) scores[j] *= inverse;
}

}  // namespace

size_t attention_scratch_floats(const AttentionArgs& args) {
  return args.first_position + args.n_tokens;
}

void attend(const AttentionArgs& args, size_t head, Range tokens, float* scratch) {
  const size_t dim = args.head_dim;
  const size_t kv_head = head / (args.n_heads / args.n_kv_heads);
  const float* k = args.k_cache + kv_head * args.cache_capacity * dim;
  const float* v = args.v_cache + kv_head * args.cache_capacity * dim;
  for (size_t t = tokens.begin; t < tokens.end; ++t) {
    const size_t offset = t * args.q_token_stride + head * args.q_head_stride;
    const size_t n_visible = args.first_position + t + 1;
    for (size_t j = 0; j < n_visible; ++j) {
      double sum = 0.0;
      for (size_t i = 0; i < dim; ++i) {
        sum += static_cast<double>(args.q[offset + i]) * static_cast<double>(k[j * dim + i]);
      }
      scratch[j] = static_cast<float>(sum) * args.scale;
    }
    softmax(scratch, n_visible);

    float* out = args.out + (t * args.n_heads + head) * dim;
    for (size_t i = 0; i < dim; ++i) {
      double sum = 0.0;
      for (size_t j = 0; j < n_visible; ++j) {
        sum += static_cast<double>(scratch[j]) * static_cast<double>(v[j * dim + i]);
      }
      out[i] = static_cast<float>(sum);
      if (args.gate != nullptr) out[i] *= 1.0f / (1.0f + std::exp(-args.gate[offset + i]));
    }
  }
}

}  // namespace nibble::scalar
