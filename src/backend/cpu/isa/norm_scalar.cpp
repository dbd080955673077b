// Reference norms.
#include <cmath>

#include "backend/cpu/isa/scalar.h"

namespace nibble::scalar {
namespace {

float inverse_rms(const float* x, size_t dim, float eps) {
  double sum = 0.0;
  for (size_t i = 0; i < dim; ++i) sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  const double mean = sum / static_cast<double>(dim);
  return static_cast<float>(1.0 / std::sqrt(mean + static_cast<double>(eps)));
}

}  // namespace

void rms_norm(const float* x, size_t x_stride, const float* weight, size_t n_rows, size_t dim,
              float eps, float* out, size_t out_stride) {
  for (size_t r = 0; r < n_rows; ++r) {
    const float* in = x + r * x_stride;
    const float scale = inverse_rms(in, dim, eps);
    for (size_t i = 0; i < dim; ++i) out[r * out_stride + i] = in[i] * scale * weight[i];
  }
}

void gated_rms_norm(const float* x, const float* gate, const float* weight, size_t n_rows,
                    size_t dim, float eps, float* out) {
  for (size_t r = 0; r < n_rows; ++r) {
    const float* in = x + r * dim;
    const float scale = inverse_rms(in, dim, eps);
    for (size_t i = 0; i < dim; ++i) {
      const float z = gate[r * dim + i];
      out[r * dim + i] = in[i] * scale * weight[i] * (z / (1.0f + std::exp(-z)));
    }
  }
}

}  // namespace nibble::scalar
