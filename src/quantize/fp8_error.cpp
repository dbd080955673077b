// How far FP8 moved a matrix.
#include <algorithm>
#include <cmath>
#include <vector>

#include "core/check.h"
#include "quantize/error_report.h"

namespace nibble {
namespace {

constexpr size_t kGrainElements = size_t{1} << 16;

struct Fp8RowSums {
  double squares = 0.0;
  double squared_errors = 0.0;
  double max_abs_error = 0.0;
};

Fp8RowSums compare_values(std::span<const float> weights, std::span<const float> decoded) {
  Fp8RowSums sums;
  for (size_t i = 0; i < weights.size(); ++i) {
    const double weight = weights[i];
    const double error = weight - static_cast<double>(decoded[i]);
    sums.squares += weight * weight;
    sums.squared_errors += error * error;
    sums.max_abs_error = std::max(sums.max_abs_error, std::fabs(error));
  }
  return sums;
}

}  // namespace

TensorError measure_error(const TensorView& weights, const Fp8MatrixView& matrix,
                          ThreadPool& pool) {
  CHECK((weights.shape == Shape{matrix.rows, matrix.cols}));
  const size_t cols = matrix.cols;
  const size_t row_bytes = cols * dtype_bytes(weights.dtype);
  std::vector<Fp8RowSums> rows(matrix.rows);
  const size_t grain = std::max<size_t>(1, kGrainElements / std::max<size_t>(1, cols));
  pool.parallel_for(rows.size(), grain, [&](size_t begin, size_t end) {
    std::vector<float> original(cols);
    std::vector<float> decoded(cols);
    for (size_t r = begin; r < end; ++r) {
      const TensorView row{weights.dtype, {cols}, weights.bytes.subspan(r * row_bytes, row_bytes)};
      CHECK(to_f32(row, original).has_value());
      CHECK(decode_rows(matrix, r, 1, decoded).has_value());
      rows[r] = compare_values(original, decoded);
    }
  });

  TensorError error;
  error.shape = weights.shape;
  error.target = {matrix.scales.size() > 1 ? WeightTarget::kFp8Channel : WeightTarget::kFp8Tensor,
                  matrix.input_scale.has_value()};
  error.tensor_scale = *std::max_element(matrix.scales.begin(), matrix.scales.end());
  for (const Fp8RowSums& row : rows) {
    error.sum_squares += row.squares;
    error.sum_squared_errors += row.squared_errors;
    error.max_abs_error = std::max(error.max_abs_error, row.max_abs_error);
  }
  error.relative_mse = relative_mse(error.sum_squared_errors, error.sum_squares);
  error.sqnr_db = sqnr_db(error.relative_mse);
  return error;
}

}  // namespace nibble
