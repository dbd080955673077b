// SwiGLU, rotary embedding and the short convolution on vectors.
//
// Measured as in vector_matmul.h, AVX-512 and AVX2: SwiGLU 1.9 and 1.3 G values/s (exp and the
// division), convolution of four taps 1.1 and 0.7.
#pragma once

#include <math.h>

#include "backend/cpu/isa/vector_math.h"
#include "backend/cpu/kernels.h"

namespace nibble {

template <class S>
struct VectorElementwise {
  using V = typename S::V;
  using L = Lanes<S>;

  static void swiglu(const float* gate, const float* up, size_t n, float* out) {
    for_vectors<S>(n, [&](size_t i, auto lanes) {
      const V open = VectorMath<S>::silu(L::load(gate + i, lanes));
      L::store(out + i, S::mul(open, L::load(up + i, lanes)), lanes);
    });
  }

  /// The angles of a token serve all its heads; they are computed as the reference does.
  static void rope(const RopeArgs& args, Range tokens, float* scratch) {
    const size_t half = args.rotary_dim / 2;
    float* cosines = scratch;
    float* sines = scratch + half;
    for (size_t t = tokens.begin; t < tokens.end; ++t) {
      const auto position = static_cast<float>(args.first_position + t);
      for (size_t i = 0; i < half; ++i) {
        const float angle = position * args.inv_freq[i];
        cosines[i] = ::cosf(angle);
        sines[i] = ::sinf(angle);
      }
      for (size_t h = 0; h < args.n_heads; ++h) {
        rotate(args.x + t * args.token_stride + h * args.head_stride, half, cosines, sines);
      }
    }
  }

  /// The weights are transposed to [tap][channel] once; then each token is a few multiply-adds on
  /// whole vectors of channels.
  static void causal_conv_silu(const ConvArgs& args, Range channels, float* scratch) {
    const size_t n = channels.end - channels.begin;
    for (size_t m = 0; m < args.kernel; ++m) {
      for (size_t ch = 0; ch < n; ++ch) {
        scratch[m * n + ch] = args.weight[(channels.begin + ch) * args.kernel + m];
      }
    }
    const size_t history = args.kernel - 1;
    for (size_t t = 0; t < args.n_tokens; ++t) {
      float* out = args.out + t * args.n_channels + channels.begin;
      for_vectors<S>(n, [&](size_t ch, auto lanes) {
        V sum = S::zero();
        for (size_t m = 0; m < args.kernel; ++m) {
          const V x = L::load(input(args, t + m) + channels.begin + ch, lanes);
          sum = S::fma(L::load(scratch + m * n + ch, lanes), x, sum);
        }
        L::store(out + ch, VectorMath<S>::silu(sum), lanes);
      });
    }
    // Oldest first: row j never reads a state row that was overwritten already.
    for (size_t j = 0; j < history; ++j) {
      const float* from = input(args, args.n_tokens + j) + channels.begin;
      float* to = args.state + j * args.n_channels + channels.begin;
      for (size_t ch = 0; ch < n; ++ch) to[ch] = from[ch];
    }
  }

 private:
  // Row t of the history followed by the new inputs.
  static const float* input(const ConvArgs& args, size_t t) {
    const size_t history = args.kernel - 1;
    return t < history ? args.state + t * args.n_channels
                       : args.x + (t - history) * args.n_channels;
  }

  static void rotate(float* x, size_t half, const float* cosines, const float* sines) {
    for_vectors<S>(half, [&](size_t i, auto lanes) {
      const V a = L::load(x + i, lanes);
      const V b = L::load(x + half + i, lanes);
      const V c = L::load(cosines + i, lanes);
      const V s = L::load(sines + i, lanes);
      L::store(x + i, S::sub(S::mul(a, c), S::mul(b, s)), lanes);
      L::store(x + half + i, S::add(S::mul(b, c), S::mul(a, s)), lanes);
    });
  }
};

}  // namespace nibble
