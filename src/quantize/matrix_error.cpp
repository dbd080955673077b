// How far NVFP4 or FP8 moved a matrix.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/check.h"
#include "numbers/nvfp4.h"
#include "quantize/error_report.h"
#include "quantize/methods/row_wise.h"

namespace nibble {
namespace {

constexpr size_t kGrainElements = size_t{1} << 16;

RowSums compare_values(std::span<const float> weights, std::span<const float> decoded) {
  RowSums sums;
  for (size_t i = 0; i < weights.size(); ++i) {
    const double weight = weights[i];
    const double error = weight - static_cast<double>(decoded[i]);
    sums.squares += weight * weight;
    sums.squared_errors += error * error;
    sums.max_abs_error = std::max(sums.max_abs_error, std::fabs(error));
  }
  return sums;
}

void set_ratios(TensorError& error) {
  error.relative_mse = relative_mse(error.sum_squared_errors, error.sum_squares);
  error.sqnr_db = sqnr_db(error.relative_mse);
}

// Shape and sums; compare_row(r, row of weights in F32, room for another row) returns the sums of
// one row.
template <typename CompareRow>
TensorError compare_rows(const TensorView& weights, uint64_t n_rows, uint64_t n_cols,
                         ThreadPool& pool, const CompareRow& compare_row) {
  CHECK((weights.shape == Shape{n_rows, n_cols}));
  const size_t row_bytes = n_cols * dtype_bytes(weights.dtype);
  std::vector<RowSums> rows(n_rows);
  const size_t grain = std::max<size_t>(1, kGrainElements / std::max<size_t>(1, n_cols));
  pool.parallel_for(rows.size(), grain, [&](size_t begin, size_t end) {
    std::vector<float> original(n_cols);
    std::vector<float> spare(n_cols);
    for (size_t r = begin; r < end; ++r) {
      widen_elements(weights.dtype, weights.bytes.data() + r * row_bytes, n_cols, original.data());
      rows[r] = compare_row(r, std::span<const float>(original), std::span<float>(spare));
    }
  });

  TensorError error;
  error.shape = weights.shape;
  for (const RowSums& row : rows) {
    error.sum_squares += row.squares;
    error.sum_squared_errors += row.squared_errors;
    error.max_abs_error = std::max(error.max_abs_error, row.max_abs_error);
  }
  set_ratios(error);
  return error;
}

}  // namespace

TensorError measure_error(const TensorView& weights, const QuantizedMatrixView& matrix,
                          ThreadPool& pool) {
  const size_t n_blocks = matrix.cols / kNvfp4BlockSize;
  const RowKernels& kernels = best_row_kernels();
  const auto compare_row = [&](size_t r, std::span<const float> original, std::span<float>) {
    return kernels.compare(original.data(), n_blocks,
                           matrix.codes.data() + r * n_blocks * kNvfp4BlockBytes,
                           matrix.scales.data() + r * n_blocks, matrix.tensor_scale);
  };
  TensorError error = compare_rows(weights, matrix.rows, matrix.cols, pool, compare_row);
  error.target = {WeightTarget::kNvfp4, matrix.input_scale.has_value()};
  error.tensor_scale = matrix.tensor_scale;
  return error;
}

TensorError measure_error(const TensorView& weights, const Fp8MatrixView& matrix,
                          ThreadPool& pool) {
  const auto compare_row = [&](size_t r, std::span<const float> original,
                               std::span<float> decoded) {
    CHECK(decode_rows(matrix, r, 1, decoded).has_value());
    return compare_values(original, decoded);
  };
  TensorError error = compare_rows(weights, matrix.rows, matrix.cols, pool, compare_row);
  error.target = {matrix.scales.size() > 1 ? WeightTarget::kFp8Channel : WeightTarget::kFp8Tensor,
                  matrix.input_scale.has_value()};
  error.tensor_scale = *std::max_element(matrix.scales.begin(), matrix.scales.end());
  return error;
}

void merge_error(TensorError& error, const TensorError& part) {
  error.sum_squares += part.sum_squares;
  error.sum_squared_errors += part.sum_squared_errors;
  error.max_abs_error = std::max(error.max_abs_error, part.max_abs_error);
  set_ratios(error);
}

double relative_mse(double sum_squared_errors, double sum_squares) {
  if (sum_squared_errors == 0.0) return 0.0;
  return sum_squared_errors / sum_squares;
}

double sqnr_db(double relative_mse) {
  if (relative_mse == 0.0) return std::numeric_limits<double>::infinity();
  return -10.0 * std::log10(relative_mse);
}

}  // namespace nibble
