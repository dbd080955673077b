// NVFP4: 16 E2M1 codes share one E4M3 scale, a whole tensor shares one F32 scale;
// value = e2m1 * e4m3 * tensor_scale. Element 2j of a block is the low nibble of byte j.
#pragma once

#include <cstddef>
#include <cstdint>

#include "numbers/e2m1.h"
#include "numbers/e4m3.h"

namespace nibble {

inline constexpr size_t kNvfp4BlockSize = 16;
inline constexpr size_t kNvfp4BlockBytes = 8;
/// The largest magnitude that codes and block scales can state together: 6 * 448.
inline constexpr float kNvfp4Range = kE2m1Max * kE4m3Max;
/// The scale written for a block of zeros: it decodes to zero whatever the reader does with it.
inline constexpr uint8_t kNvfp4ZeroBlockScale = kE4m3One;
/// The smallest scale ever written: anything lower would turn a non-zero block into zeros.
inline constexpr uint8_t kNvfp4MinScale = 0x01;

/// The F32 nearest to a tensor scale whose reciprocal's reciprocal is itself, so that dialects that
/// store the divisor and dialects that store the multiplier hold the same number.
NIBBLE_HD constexpr float canonical_tensor_scale(float scale) {
  const float divisor = 1.0f / scale;
  return 1.0f / divisor;
}

/// The canonical tensor scale for a tensor whose largest magnitude is `amax`. A tensor of zeros, or
/// one so small that the scale or its reciprocal would leave F32's normal range, gets 1.
NIBBLE_HD constexpr float nvfp4_tensor_scale(float amax) {
  const float scale = amax / kNvfp4Range;
  if (!(scale >= 0x1p-120f && scale <= 0x1p120f)) return 1.0f;
  return canonical_tensor_scale(scale);
}

/// The E4M3 code nearest to the scale that maps `block_amax` to 6, within [2^-9, 448]; zero blocks
/// get kNvfp4ZeroBlockScale.
NIBBLE_HD constexpr uint8_t nvfp4_block_scale(float block_amax, float tensor_scale) {
  if (block_amax == 0.0f) return kNvfp4ZeroBlockScale;
  const uint8_t code = f32_to_e4m3(block_amax / (kE2m1Max * tensor_scale));
  return code < kNvfp4MinScale ? kNvfp4MinScale : code;
}

/// Encodes 16 values with the given scale: each is divided by (scale * tensor_scale) and rounded.
NIBBLE_HD constexpr void nvfp4_encode_block(const float* values, uint8_t scale_code,
                                            float tensor_scale, uint8_t* packed) {
  const float scale = e4m3_to_f32(scale_code) * tensor_scale;
  for (size_t j = 0; j < kNvfp4BlockBytes; ++j) {
    const uint8_t low = f32_to_e2m1(values[2 * j] / scale);
    const uint8_t high = f32_to_e2m1(values[2 * j + 1] / scale);
    packed[j] = static_cast<uint8_t>(low | (high << 4));
  }
}

/// Decodes 16 values: e2m1 * (e4m3 * tensor_scale), the product of the scales rounded to F32 once.
NIBBLE_HD constexpr void nvfp4_decode_block(const uint8_t* packed, uint8_t scale_code,
                                            float tensor_scale, float* values) {
  const float scale = e4m3_to_f32(scale_code) * tensor_scale;
  for (size_t j = 0; j < kNvfp4BlockBytes; ++j) {
    values[2 * j] = e2m1_to_f32(packed[j] & 15u) * scale;
    values[2 * j + 1] = e2m1_to_f32(packed[j] >> 4) * scale;
  }
}

}  // namespace nibble
