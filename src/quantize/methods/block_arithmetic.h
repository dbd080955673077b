// One block of 16 in plain loops of fixed length, written so that compilers turn them into vector
// code. The arithmetic is that of numbers/nvfp4.h, to which tests bind it.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "numbers/nvfp4.h"

namespace nibble {

/// The largest magnitude of 16 finite values.
inline float block_amax(const float* values) {
  float lanes[4] = {};
  for (size_t i = 0; i < kNvfp4BlockSize; i += 4) {
    for (size_t j = 0; j < 4; ++j) {
      const float magnitude = std::fabs(values[i + j]);
      lanes[j] = lanes[j] < magnitude ? magnitude : lanes[j];
    }
  }
  const float low = lanes[0] < lanes[1] ? lanes[1] : lanes[0];
  const float high = lanes[2] < lanes[3] ? lanes[3] : lanes[2];
  return low < high ? high : low;
}

/// Encodes 16 values; scale is the product of block and tensor scale.
inline void encode_block(const float* values, float scale, uint8_t* packed) {
  uint32_t codes[kNvfp4BlockSize];
  for (size_t i = 0; i < kNvfp4BlockSize; ++i) {
    const float quotient = values[i] / scale;
    const float m = std::fabs(quotient);
    uint32_t code = m > 0.25f ? 1 : 0;
    code += m >= 0.75f ? 1 : 0;
    code += m > 1.25f ? 1 : 0;
    code += m >= 1.75f ? 1 : 0;
    code += m > 2.5f ? 1 : 0;
    code += m >= 3.5f ? 1 : 0;
    code += m > 5.0f ? 1 : 0;
    code += quotient < 0.0f ? 8 : 0;
    codes[i] = code;
  }
  for (size_t j = 0; j < kNvfp4BlockBytes; ++j) {
    packed[j] = static_cast<uint8_t>(codes[2 * j] | (codes[2 * j + 1] << 4));
  }
}

/// Sum of (magnitude - decoded)^2 over 16 magnitudes when the block is stored with that scale.
/// Decoded values are rounded to F32 as readers do; the rest is exact or in F64, summed in a fixed
/// order, so that candidates can be compared strictly.
inline double block_error(const float* magnitudes, float scale) {
  float decoded[kNvfp4BlockSize];
  for (size_t i = 0; i < kNvfp4BlockSize; ++i) {
    const float m = magnitudes[i] / scale;
    float level = m > 0.25f ? 0.5f : 0.0f;
    level += m >= 0.75f ? 0.5f : 0.0f;
    level += m > 1.25f ? 0.5f : 0.0f;
    level += m >= 1.75f ? 0.5f : 0.0f;
    level += m > 2.5f ? 1.0f : 0.0f;
    level += m >= 3.5f ? 1.0f : 0.0f;
    level += m > 5.0f ? 2.0f : 0.0f;
    decoded[i] = level * scale;
  }
  double lanes[4] = {};
  for (size_t i = 0; i < kNvfp4BlockSize; i += 4) {
    for (size_t j = 0; j < 4; ++j) {
      const double difference =
          static_cast<double>(magnitudes[i + j]) - static_cast<double>(decoded[i + j]);
      lanes[j] += difference * difference;
    }
  }
  return (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
}

}  // namespace nibble
