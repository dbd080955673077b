#include "quantize/methods/fp8.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/check.h"
#include "numbers/e4m3.h"

namespace nibble {
namespace {

constexpr size_t kGrainElements = size_t{1} << 16;

// Calls visit(row, values) for every row, widened to F32, on the threads of the pool.
template <typename Visit>
void for_each_row(const TensorView& weights, ThreadPool& pool, const Visit& visit) {
  CHECK(weights.shape.size() == 2);
  const size_t cols = weights.shape[1];
  const size_t row_bytes = cols * dtype_bytes(weights.dtype);
  const size_t grain = std::max<size_t>(1, kGrainElements / std::max<size_t>(1, cols));
  pool.parallel_for(weights.shape[0], grain, [&](size_t begin, size_t end) {
    std::vector<float> values(cols);
    for (size_t r = begin; r < end; ++r) {
      const TensorView row{weights.dtype, {cols}, weights.bytes.subspan(r * row_bytes, row_bytes)};
      CHECK(to_f32(row, values).has_value());
      visit(r, std::span<const float>(values));
    }
  });
}

}  // namespace

float fp8_scale(float amax) {
  const float scale = amax / kE4m3Max;
  return scale >= 0x1p-120f && scale <= 0x1p120f ? scale : 1.0f;
}

std::vector<float> fp8_row_scales(const TensorView& weights, ThreadPool& pool) {
  std::vector<float> scales(weights.shape[0]);
  for_each_row(weights, pool, [&](size_t r, std::span<const float> values) {
    float amax = 0.0f;
    for (const float value : values) amax = std::max(amax, std::fabs(value));
    scales[r] = fp8_scale(amax);
  });
  return scales;
}

Fp8Matrix quantize_fp8(const TensorView& weights, std::vector<float> scales, ThreadPool& pool) {
  Fp8Matrix matrix;
  matrix.rows = weights.shape[0];
  matrix.cols = weights.shape[1];
  CHECK(scales.size() == 1 || scales.size() == matrix.rows);
  matrix.scales = std::move(scales);
  matrix.codes.resize(matrix.rows * matrix.cols);
  for_each_row(weights, pool, [&](size_t r, std::span<const float> values) {
    const float scale = matrix.scales[matrix.scales.size() == 1 ? 0 : r];
    uint8_t* codes = matrix.codes.data() + r * matrix.cols;
    for (size_t c = 0; c < values.size(); ++c) codes[c] = f32_to_e4m3(values[c] / scale);
  });
  return matrix;
}

}  // namespace nibble
