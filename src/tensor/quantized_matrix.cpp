#include "tensor/quantized_matrix.h"

#include "numbers/nvfp4.h"

namespace nibble {

void dequantize_rows(const QuantizedMatrixView& matrix, uint64_t first_row, uint64_t n_rows,
                     std::span<float> out) {
  CHECK(first_row + n_rows <= matrix.rows && out.size() == n_rows * matrix.cols);
  const uint64_t n_blocks = matrix.cols / kNvfp4BlockSize;
  for (uint64_t r = 0; r < n_rows; ++r) {
    for (uint64_t b = 0; b < n_blocks; ++b) {
      const uint64_t block = (first_row + r) * n_blocks + b;
      nvfp4_decode_block(matrix.codes.data() + block * kNvfp4BlockBytes, matrix.scales[block],
                         matrix.tensor_scale, out.data() + r * matrix.cols + b * kNvfp4BlockSize);
    }
  }
}

}  // namespace nibble
