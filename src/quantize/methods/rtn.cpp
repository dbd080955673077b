#include "quantize/methods/rtn.h"

#include "quantize/methods/block_arithmetic.h"

namespace nibble {
namespace {

void rtn_blocks(const float* values, size_t n_blocks, float tensor_scale, uint8_t* codes,
                uint8_t* scales) {
  for (size_t b = 0; b < n_blocks; ++b) {
    const float* block = values + b * kNvfp4BlockSize;
    scales[b] = nvfp4_block_scale(block_amax(block), tensor_scale);
    encode_block(block, e4m3_to_f32(scales[b]) * tensor_scale, codes + b * kNvfp4BlockBytes);
  }
}

}  // namespace

Result<QuantizedMatrix> quantize_rtn(const MatrixTask& task, ThreadPool& pool) {
  return quantize_rows(task, rtn_blocks, pool);
}

}  // namespace nibble
