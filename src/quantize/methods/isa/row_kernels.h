// The inner loops of rounding a row, written once in plain C++ and again for instruction sets that
// make them several times faster; all of them give the same bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace nibble {

/// Quantizes consecutive blocks of 16.
///   values  [n_blocks * 16], finite
///   codes   [n_blocks * 8] out, even element in the low nibble;  scales  [n_blocks] out
using RowKernel = void (*)(const float* values, size_t n_blocks, float tensor_scale, uint8_t* codes,
                           uint8_t* scales);

/// What a row lost.
struct RowSums {
  double squares = 0.0;         ///< of the weights
  double squared_errors = 0.0;  ///< of the differences
  double max_abs_error = 0.0;
};

/// One implementation.
struct RowKernels {
  std::string_view name;  ///< as the backend calls its own: "scalar", "avx512"
  RowKernel rtn;
  RowKernel sweep;
  /// Widens n BF16 numbers of any alignment. Exact.
  void (*widen_bf16)(const std::byte* words, size_t n, float* out);
  /// The largest magnitude of n BF16 numbers of any alignment as its 15 bits; above 0x7f7f where
  /// there is an infinity or a NaN.
  uint32_t (*largest_bf16)(const std::byte* words, size_t n);
  /// Compares values with what their codes and scales decode to. Squares are summed in F64 in
  /// eight interleaved sums, so that every implementation gives the same.
  ///   values  [n_blocks * 16]
  RowSums (*compare)(const float* values, size_t n_blocks, const uint8_t* codes,
                     const uint8_t* scales, float tensor_scale);
};

/// All that were compiled and that this processor can run, the plain one first.
std::span<const RowKernels* const> usable_row_kernels();

/// The fastest of them.
const RowKernels& best_row_kernels();

const RowKernels& scalar_row_kernels();
#if defined(__x86_64__)
const RowKernels& avx512_row_kernels();
#endif

}  // namespace nibble
