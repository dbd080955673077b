// What the tests of methods share: matrices to quantize and plain re-computations to compare with.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "numbers/bf16.h"
#include "numbers/nvfp4.h"
#include "quantize/methods/method.h"

namespace nibble::test {

/// A matrix of BF16 words.
struct Bf16Matrix {
  uint64_t rows = 0;
  uint64_t cols = 0;
  std::vector<uint16_t> words;

  TensorView view() const { return {DType::kBF16, {rows, cols}, std::as_bytes(std::span(words))}; }
  std::vector<float> values() const {
    std::vector<float> out;
    for (const uint16_t word : words) out.push_back(bf16_to_f32(word));
    return out;
  }
  float amax() const {
    float largest = 0.0f;
    for (const float value : values()) largest = std::max(largest, std::fabs(value));
    return largest;
  }
};

/// Normal values whose rows have very different sizes, with a block of zeros and a block that
/// underflows.
inline Bf16Matrix random_matrix(uint64_t rows, uint64_t cols, unsigned seed) {
  Bf16Matrix matrix{rows, cols, {}};
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0.0f, 0.02f);
  for (uint64_t r = 0; r < rows; ++r) {
    const float gain = std::exp2(-static_cast<float>(r % 12));
    for (uint64_t c = 0; c < cols; ++c) {
      float value = normal(generator) * gain;
      if (r == 1 && c / kNvfp4BlockSize == 1) value = 0.0f;
      if (r == 2 && c / kNvfp4BlockSize == 0) value *= 0x1p-24f;
      matrix.words.push_back(f32_to_bf16(value));
    }
  }
  return matrix;
}

/// Squared error of one block stored with a scale, by the codec of numbers/nvfp4.h.
inline double stored_error(const float* values, uint8_t scale, float tensor_scale) {
  uint8_t packed[kNvfp4BlockBytes];
  float decoded[kNvfp4BlockSize];
  nvfp4_encode_block(values, scale, tensor_scale, packed);
  nvfp4_decode_block(packed, scale, tensor_scale, decoded);
  double lanes[4] = {};
  for (size_t i = 0; i < kNvfp4BlockSize; ++i) {
    const double error = static_cast<double>(values[i]) - static_cast<double>(decoded[i]);
    lanes[i % 4] += error * error;
  }
  return (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
}

}  // namespace nibble::test
