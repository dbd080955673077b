// FP8 (E4M3): every value divided by a scale and rounded to the nearest code.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/thread_pool.h"
#include "tensor/matrix_source.h"

namespace nibble {

/// An FP8 matrix that owns its bytes.
struct Fp8Matrix {
  uint64_t rows = 0;
  uint64_t cols = 0;
  std::vector<uint8_t> codes;
  std::vector<float> scales;  ///< one, or [rows]
  std::optional<float> input_scale;

  Fp8MatrixView view() const { return {rows, cols, codes, scales, input_scale}; }
};

/// The scale that maps `amax` to 448. Values that are all zero, or so small or large that the scale
/// would leave F32's normal range, get 1.
float fp8_scale(float amax);

/// The scale of every row of a matrix, by its own largest magnitude.
///   weights  [rows, cols], floating, all finite, borrowed
std::vector<float> fp8_row_scales(const TensorView& weights, ThreadPool& pool);

/// Encodes a matrix with the given scales. The same for every number of threads.
///   weights  [rows, cols], floating, all finite, borrowed
///   scales   one, or one a row; positive
Fp8Matrix quantize_fp8(const TensorView& weights, std::vector<float> scales, ThreadPool& pool);

}  // namespace nibble
