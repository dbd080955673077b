// The gated delta rule on vectors of state columns, token after token.
//
// A slice of two vectors of columns is copied next to each other (128 rows x 2 vectors
// are 16 KB with AVX-512, 8 KB with AVX2: it stays in L1 for the whole call). Per token one pass
// over the slice sums S^T k, a second one writes the new state and sums S^T q.
#pragma once

#include <math.h>

#include "backend/cpu/isa/vector_math.h"
#include "backend/cpu/kernels.h"

namespace nibble {

template <class S>
struct VectorDeltaRule {
  using V = typename S::V;
  using L = Lanes<S>;
  static constexpr size_t kSlice = 2 * S::kLanes;

  // What the tokens of one head share.
  struct Head {
    const float* q;
    const float* k;
    const float* v;
    const float* decay;
    const float* beta;
    float* state;
    float* out;
    size_t gate_stride;
    size_t out_stride;
    float q_scale;

    Head(const DeltaRuleArgs& args, size_t head) {
      const size_t key_head = args.tiles_value_heads
                                  ? head % args.n_key_heads
                                  : head / (args.n_value_heads / args.n_key_heads);
      q = args.q + key_head * args.key_dim;
      k = args.k + key_head * args.key_dim;
      v = args.v + head * args.value_dim;
      decay = args.decay + head;
      beta = args.beta + head;
      state = args.state + head * args.key_dim * args.value_dim;
      out = args.out + head * args.value_dim;
      gate_stride = args.n_value_heads;
      out_stride = args.n_value_heads * args.value_dim;
      q_scale = 1.0f / ::sqrtf(static_cast<float>(args.key_dim));
    }
  };

  static size_t scratch_floats(const DeltaRuleArgs& args) { return args.key_dim * (kSlice + 2); }

  static void run(const DeltaRuleArgs& args, const DeltaPart& part, float* scratch) {
    step_tokens(args, part, {0, args.n_tokens}, scratch);
  }

  static void normalize(const float* x, size_t dim, float eps, float scale, float* out) {
    const float factor = scale / ::sqrtf(VectorMath<S>::dot(x, x, dim) + eps);
    for_vectors<S>(dim, [&](size_t i, auto lanes) {
      L::store(out + i, S::mul(L::load(x + i, lanes), S::set1(factor)), lanes);
    });
  }

  static void step_tokens(const DeltaRuleArgs& args, const DeltaPart& part, Range tokens,
                          float* scratch) {
    if (tokens.begin == tokens.end) return;
    const Head head(args, part.head);
    for (size_t j = part.columns.begin; j < part.columns.end; j += kSlice) {
      const size_t left = part.columns.end - j;
      step_slice(args, head, j, left < kSlice ? left : kSlice, tokens, scratch);
    }
  }

  static void copy_slice(const float* from, size_t from_stride, size_t n_rows, size_t n, float* to,
                         size_t to_stride) {
    for (size_t i = 0; i < n_rows; ++i, from += from_stride, to += to_stride) {
      for_vectors<S>(
          n, [&](size_t j, auto lanes) { L::store(to + j, L::load(from + j, lanes), lanes); });
    }
  }

 private:
  static void step_slice(const DeltaRuleArgs& args, const Head& head, size_t column, size_t n,
                         Range tokens, float* scratch) {
    float* slice = scratch;
    float* q = slice + args.key_dim * kSlice;
    float* k = q + args.key_dim;
    if (n < kSlice) {
      for (size_t i = 0; i < args.key_dim * kSlice; ++i) slice[i] = 0.0f;
    }
    copy_slice(head.state + column, args.value_dim, args.key_dim, n, slice, kSlice);
    for (size_t t = tokens.begin; t < tokens.end; ++t) {
      normalize(head.q + t * args.token_stride, args.key_dim, args.l2_eps, head.q_scale, q);
      normalize(head.k + t * args.token_stride, args.key_dim, args.l2_eps, 1.0f, k);
      float v[kSlice] = {};
      float out[kSlice];
      copy_slice(head.v + t * args.token_stride + column, 0, 1, n, v, 0);
      const float decay = ::expf(head.decay[t * head.gate_stride]);
      step(slice, args.key_dim, q, k, v, decay, head.beta[t * head.gate_stride], out);
      copy_slice(out, 0, 1, n, head.out + t * head.out_stride + column, 0);
    }
    copy_slice(slice, kSlice, args.key_dim, n, head.state + column, args.value_dim);
  }

  // Four rows at a time give eight independent sums, enough to hide the latency of the multiplier.
  static void step(float* state, size_t key_dim, const float* q, const float* k, const float* v,
                   float decay, float beta, float* out) {
    V p[8];
#pragma GCC unroll 8
    for (size_t i = 0; i < 8; ++i) p[i] = S::zero();
    const V alpha = S::set1(decay);
    size_t i = 0;
    for (; i + 4 <= key_dim; i += 4) {
#pragma GCC unroll 4
      for (size_t r = 0; r < 4; ++r)
        predict(state + (i + r) * kSlice, k[i + r], p[2 * r], p[2 * r + 1]);
    }
    for (; i < key_dim; ++i) predict(state + i * kSlice, k[i], p[0], p[1]);
    const V factor = S::set1(beta);
    V delta[2];
#pragma GCC unroll 2
    for (size_t j = 0; j < 2; ++j) {
      const V sum = S::add(S::add(p[j], p[2 + j]), S::add(p[4 + j], p[6 + j]));
      delta[j] = S::mul(factor, S::sub(S::load(v + j * S::kLanes), S::mul(alpha, sum)));
    }
#pragma GCC unroll 8
    for (size_t r = 0; r < 8; ++r) p[r] = S::zero();
    for (i = 0; i + 4 <= key_dim; i += 4) {
#pragma GCC unroll 4
      for (size_t r = 0; r < 4; ++r) {
        update(state + (i + r) * kSlice, q[i + r], k[i + r], alpha, delta[0], delta[1], p[2 * r],
               p[2 * r + 1]);
      }
    }
    for (; i < key_dim; ++i) {
      update(state + i * kSlice, q[i], k[i], alpha, delta[0], delta[1], p[0], p[1]);
    }
#pragma GCC unroll 2
    for (size_t j = 0; j < 2; ++j) {
      S::store(out + j * S::kLanes, S::add(S::add(p[j], p[2 + j]), S::add(p[4 + j], p[6 + j])));
    }
  }

  static void predict(const float* row, float k, V& low, V& high) {
    low = S::fma(S::load(row), S::set1(k), low);
    high = S::fma(S::load(row + S::kLanes), S::set1(k), high);
  }

  static void update(float* row, float q, float k, V alpha, V delta_low, V delta_high, V& low,
                     V& high) {
    const V key = S::set1(k);
    const V new_low = S::fma(key, delta_low, S::mul(alpha, S::load(row)));
    const V new_high = S::fma(key, delta_high, S::mul(alpha, S::load(row + S::kLanes)));
    S::store(row, new_low);
    S::store(row + S::kLanes, new_high);
    low = S::fma(new_low, S::set1(q), low);
    high = S::fma(new_high, S::set1(q), high);
  }
};

}  // namespace nibble
