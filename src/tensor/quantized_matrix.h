// A weight matrix in canonical NVFP4, borrowed or owned: the form in which every dialect hands it
// over.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "core/result.h"

namespace nibble {

/// The scalars of a matrix as a file states them that stores their reciprocals: dividing 1 by the
/// multipliers need not give them back. 0 where the file stores multipliers.
struct ScaleDivisors {
  float tensor = 0.0f;
  float input = 0.0f;
};

/// Canonical NVFP4: value(r, c) = e2m1(code) * e4m3(scale of block c / 16) * tensor_scale.
///   codes   [rows, cols / 2] bytes, even column in the low nibble
///   scales  [rows, cols / 16] E4M3 codes, 0x00 to 0x7e
struct QuantizedMatrixView {
  uint64_t rows = 0;
  uint64_t cols = 0;  ///< a multiple of 16
  std::span<const uint8_t> codes;
  std::span<const uint8_t> scales;
  float tensor_scale = 1.0f;
  /// Static activation scale (multiplier, act_amax / 2688) of a W4A4 checkpoint; kept, not applied.
  std::optional<float> input_scale;
  ScaleDivisors divisors = {};
};

/// The same, owning its bytes.
struct QuantizedMatrix {
  uint64_t rows = 0;
  uint64_t cols = 0;
  std::vector<uint8_t> codes;
  std::vector<uint8_t> scales;
  float tensor_scale = 1.0f;
  std::optional<float> input_scale;
  ScaleDivisors divisors = {};

  QuantizedMatrixView view() const {
    return {rows, cols, codes, scales, tensor_scale, input_scale, divisors};
  }
};

/// Decodes rows [first_row, first_row + n_rows) to F32.
///   out  [n_rows, cols]
void dequantize_rows(const QuantizedMatrixView& matrix, uint64_t first_row, uint64_t n_rows,
                     std::span<float> out);

/// Bytes that the matrix takes in a file: codes and scales, without the tensor scale.
inline uint64_t nvfp4_bytes(uint64_t rows, uint64_t cols) {
  return rows * cols / 2 + rows * cols / 16;
}

}  // namespace nibble
