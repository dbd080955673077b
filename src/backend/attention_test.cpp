// Causal attention over a cache: against the definition, for every implementation.
#include "backend/backend_test_fixture.h"

namespace nibble {
namespace {

using test::random_values;

struct Shape {
  size_t n_heads;
  size_t n_kv_heads;
  size_t head_dim;
  size_t first_position;
  size_t n_tokens;
};

class Attention : public test::EveryImplementation {
 protected:
  // The definition, in double.
  static std::vector<float> define(const AttentionArgs& args) {
    std::vector<float> out(args.n_tokens * args.n_heads * args.head_dim);
    for (size_t t = 0; t < args.n_tokens; ++t) {
      for (size_t h = 0; h < args.n_heads; ++h) {
        attend_one(args, t, h, out.data() + (t * args.n_heads + h) * args.head_dim);
      }
    }
    return out;
  }

  static void attend_one(const AttentionArgs& args, size_t t, size_t h, float* out) {
    const size_t dim = args.head_dim;
    const size_t kv = h / (args.n_heads / args.n_kv_heads) * args.cache_capacity * dim;
    const size_t at = t * args.q_token_stride + h * args.q_head_stride;
    const size_t n = args.first_position + t + 1;
    std::vector<double> p(n);
    double max = -1e300;
    for (size_t j = 0; j < n; ++j) {
      for (size_t i = 0; i < dim; ++i) {
        p[j] += static_cast<double>(args.q[at + i]) *
                static_cast<double>(args.k_cache[kv + j * dim + i]);
      }
      p[j] *= static_cast<double>(args.scale);
      max = std::fmax(max, p[j]);
    }
    double sum = 0.0;
    for (double& value : p) sum += (value = std::exp(value - max));
    for (size_t i = 0; i < dim; ++i) {
      double value = 0.0;
      for (size_t j = 0; j < n; ++j) {
        value += p[j] * static_cast<double>(args.v_cache[kv + j * dim + i]);
      }
      const double gate = args.gate == nullptr
                              ? 1.0
                              : 1.0 / (1.0 + std::exp(-static_cast<double>(args.gate[at + i])));
      out[i] = static_cast<float>(value / sum * gate);
    }
  }

  void check(const Shape& shape, float spread, bool gated,
             float tolerance = test::kTolerance.attention) {
    // Query and gate interleaved per head, as the projection gives them.
    const size_t head_stride = 2 * shape.head_dim;
    const size_t token_stride = shape.n_heads * head_stride + 3;
    const size_t capacity = shape.first_position + shape.n_tokens + 2;
    const auto q = random_values(shape.n_tokens * token_stride, 1, spread);
    auto k = random_values(shape.n_kv_heads * capacity * shape.head_dim, 2);
    auto v = random_values(shape.n_kv_heads * capacity * shape.head_dim, 3);
    // Rows beyond the sequence must not be seen.
    const float poison = std::numeric_limits<float>::quiet_NaN();
    for (size_t h = 0; h < shape.n_kv_heads; ++h) {
      const size_t end = (h + 1) * capacity * shape.head_dim;
      std::fill(k.begin() + static_cast<ptrdiff_t>(end - 2 * shape.head_dim),
                k.begin() + static_cast<ptrdiff_t>(end), poison);
      std::fill(v.begin() + static_cast<ptrdiff_t>(end - 2 * shape.head_dim),
                v.begin() + static_cast<ptrdiff_t>(end), poison);
    }
    std::vector<float> out(shape.n_tokens * shape.n_heads * shape.head_dim);
    AttentionArgs args{};
    args.q = q.data();
    args.q_token_stride = token_stride;
    args.q_head_stride = head_stride;
    args.k_cache = k.data();
    args.v_cache = v.data();
    args.cache_capacity = capacity;
    args.first_position = shape.first_position;
    args.n_tokens = shape.n_tokens;
    args.n_heads = shape.n_heads;
    args.n_kv_heads = shape.n_kv_heads;
    args.head_dim = shape.head_dim;
    args.scale = 1.0f / std::sqrt(static_cast<float>(shape.head_dim));
    args.gate = gated && !q.empty() ? q.data() + shape.head_dim : nullptr;
    args.out = out.data();

    backend().attention(args);
    test::expect_close(out, define(args), tolerance,
                       std::to_string(shape.n_tokens) + " tokens at " +
                           std::to_string(shape.first_position) + ", head of " +
                           std::to_string(shape.head_dim));
  }
};

TEST_P(Attention, ShapesAndPositions) {
  for (const size_t head_dim : {1, 8, 20, 64, 77, 256}) {
    for (const size_t first : {0, 1, 63, 130}) {
      for (const size_t n_tokens : {0, 1, 2, 3, 15, 64, 65}) {
        check({4, 2, head_dim, first, n_tokens}, 1.0f, true);
      }
    }
  }
  check({2, 1, 256, 0, 200}, 1.0f, true);
  check({3, 1, 32, 700, 1}, 1.0f, false);
  check({6, 6, 16, 31, 40}, 1.0f, false);
}

TEST_P(Attention, SharpAndFlatScores) {
  // Scores of some 200: an F32 score is off by 1e-5 and its exponential by as much.
  check({2, 1, 64, 90, 50}, 60.0f, true, 4e-5f);
  check({2, 1, 64, 90, 1}, 60.0f, false, 4e-5f);
  check({2, 1, 64, 90, 50}, 0.0f, false);
}

INSTANTIATE_FOR_EVERY_IMPLEMENTATION(Attention);

}  // namespace
}  // namespace nibble
