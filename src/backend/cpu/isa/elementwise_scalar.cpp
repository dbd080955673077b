// Reference forms of the ops that need no sums over rows: SwiGLU, rotary embedding, the short
// convolution, the gates of the delta rule.
#include <cmath>
#include <cstring>

#include "backend/cpu/isa/scalar.h"

namespace nibble::scalar {
namespace {

float sigmoid(float x) { return 1.0f / (1.0f + std::exp(-x)); }

float softplus(float x) { return x > 20.0f ? x : std::log1p(std::exp(x)); }

// Row `t` of the inputs, counted from the first new token; negative ones are in the state.
const float* conv_input(const ConvArgs& args, ptrdiff_t t) {
  const auto history = static_cast<ptrdiff_t>(args.kernel) - 1;
  const auto n_channels = static_cast<ptrdiff_t>(args.n_channels);
  return t < 0 ? args.state + (t + history) * n_channels : args.x + t * n_channels;
}

}  // namespace

void swiglu(const float* gate, const float* up, size_t n, float* out) {
  for (size_t i = 0; i < n; ++i) out[i] = gate[i] * sigmoid(gate[i]) * up[i];
}

void rope(const RopeArgs& args, Range tokens, float* /*scratch*/) {
  const size_t half = args.rotary_dim / 2;
  for (size_t t = tokens.begin; t < tokens.end; ++t) {
    const auto position = static_cast<float>(args.first_position + t);
    for (size_t i = 0; i < half; ++i) {
      const float angle = position * args.inv_freq[i];
      const float cosine = std::cos(angle);
      const float sine = std::sin(angle);
      for (size_t h = 0; h < args.n_heads; ++h) {
        float* x = args.x + t * args.token_stride + h * args.head_stride;
        const float a = x[i];
        const float b = x[i + half];
        x[i] = a * cosine - b * sine;
        x[i + half] = b * cosine + a * sine;
      }
    }
  }
}

void causal_conv_silu(const ConvArgs& args, Range channels, float* /*scratch*/) {
  const size_t kernel = args.kernel;
  const auto n_tokens = static_cast<ptrdiff_t>(args.n_tokens);
  const auto history = static_cast<ptrdiff_t>(kernel) - 1;
  for (ptrdiff_t t = 0; t < n_tokens; ++t) {
    float* out = args.out + static_cast<size_t>(t) * args.n_channels;
    for (size_t ch = channels.begin; ch < channels.end; ++ch) {
      float sum = 0.0f;
      for (size_t m = 0; m < kernel; ++m) {
        const float* input = conv_input(args, t - history + static_cast<ptrdiff_t>(m));
        sum += args.weight[ch * kernel + m] * input[ch];
      }
      out[ch] = sum * sigmoid(sum);
    }
  }
  // Oldest first: row j never reads a state row that was overwritten already.
  for (ptrdiff_t j = 0; j < history; ++j) {
    const float* input = conv_input(args, n_tokens - history + j);
    float* state = args.state + static_cast<size_t>(j) * args.n_channels;
    std::memmove(state + channels.begin, input + channels.begin,
                 (channels.end - channels.begin) * sizeof(float));
  }
}

void delta_gates(const DeltaGatesArgs& args, Range tokens) {
  for (size_t t = tokens.begin; t < tokens.end; ++t) {
    for (size_t h = 0; h < args.n_heads; ++h) {
      const size_t i = t * args.n_heads + h;
      args.decay[i] = -std::exp(args.a_log[h]) * softplus(args.a[i] + args.dt_bias[h]);
      args.beta[i] = sigmoid(args.b[i]);
    }
  }
}

}  // namespace nibble::scalar
