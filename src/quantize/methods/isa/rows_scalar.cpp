// The "scalar" row kernels: the definition that the others are compared with.
#include <algorithm>
#include <array>
#include <cmath>

#include "core/bytes.h"
#include "numbers/bf16.h"
#include "quantize/methods/block_arithmetic.h"
#include "quantize/methods/isa/row_kernels.h"
#include "quantize/methods/sweep.h"

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

void sweep_blocks(const float* values, size_t n_blocks, float tensor_scale, uint8_t* codes,
                  uint8_t* scales) {
  for (size_t b = 0; b < n_blocks; ++b) {
    const float* block = values + b * kNvfp4BlockSize;
    scales[b] = sweep_block_scale(block, tensor_scale);
    encode_block(block, e4m3_to_f32(scales[b]) * tensor_scale, codes + b * kNvfp4BlockBytes);
  }
}

void widen_bf16(const std::byte* words, size_t n, float* out) {
  for (size_t i = 0; i < n; ++i) out[i] = bf16_to_f32(load_le<uint16_t>(words + 2 * i));
}

uint32_t largest_bf16(const std::byte* words, size_t n) {
  uint32_t largest = 0;
  for (size_t i = 0; i < n; ++i) {
    largest = std::max<uint32_t>(largest, load_le<uint16_t>(words + 2 * i) & 0x7fffu);
  }
  return largest;
}

RowSums compare(const float* values, size_t n_blocks, const uint8_t* codes, const uint8_t* scales,
                float tensor_scale) {
  constexpr size_t kSums = 8;
  std::array<double, kSums> squares = {};
  std::array<double, kSums> errors = {};
  RowSums sums;
  for (size_t b = 0; b < n_blocks; ++b) {
    std::array<float, kNvfp4BlockSize> decoded;
    nvfp4_decode_block(codes + b * kNvfp4BlockBytes, scales[b], tensor_scale, decoded.data());
    for (size_t i = 0; i < kNvfp4BlockSize; ++i) {
      const double weight = values[b * kNvfp4BlockSize + i];
      const double error = weight - static_cast<double>(decoded[i]);
      squares[i % kSums] += weight * weight;
      errors[i % kSums] += error * error;
      sums.max_abs_error = std::max(sums.max_abs_error, std::fabs(error));
    }
  }
  for (size_t i = 0; i < kSums; ++i) {
    sums.squares += squares[i];
    sums.squared_errors += errors[i];
  }
  return sums;
}

constexpr RowKernels kKernels = {"scalar",   rtn_blocks,   sweep_blocks,
                                 widen_bf16, largest_bf16, compare};

}  // namespace

const RowKernels& scalar_row_kernels() { return kKernels; }

}  // namespace nibble
