// E4M3 ("fn"): sign, 4 exponent bits with bias 7, 3 mantissa bits; no infinity, 0x7f and 0xff are
// NaN.
#pragma once

#include <bit>
#include <cstdint>

#include "numbers/host_device.h"

namespace nibble {

inline constexpr float kE4m3Max = 448.0f;
inline constexpr uint8_t kE4m3MaxCode = 0x7e;
inline constexpr uint8_t kE4m3One = 0x38;

/// Exact. Codes 0x7f and 0xff give NaN.
NIBBLE_HD constexpr float e4m3_to_f32(uint8_t code) {
  const uint32_t sign = static_cast<uint32_t>(code & 0x80u) << 24;
  const uint32_t magnitude = code & 0x7fu;
  if (magnitude == 0x7f) return std::bit_cast<float>(sign | 0x7fc00000u);
  if (magnitude < 8) {
    const float value = static_cast<float>(magnitude) * 0x1p-9f;
    return sign != 0 ? -value : value;
  }
  return std::bit_cast<float>(sign | ((magnitude << 20) + (120u << 23)));
}

/// Rounds to nearest, ties to even; magnitudes above 448 (infinity too) saturate; NaN gives NaN.
NIBBLE_HD constexpr uint8_t f32_to_e4m3(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const auto sign = static_cast<uint8_t>((bits >> 24) & 0x80u);
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<uint8_t>(sign | 0x7fu);
  if (magnitude >= std::bit_cast<uint32_t>(kE4m3Max)) {
    return static_cast<uint8_t>(sign | kE4m3MaxCode);
  }
  if (magnitude < std::bit_cast<uint32_t>(0x1p-6f)) {
    // The unit of subnormals is 2^-9: adding 2^14, whose last place is 2^-9, rounds right there.
    const float shifted = std::bit_cast<float>(magnitude) + 0x1p14f;
    return static_cast<uint8_t>(
        sign | (std::bit_cast<uint32_t>(shifted) - std::bit_cast<uint32_t>(0x1p14f)));
  }
  const uint32_t rounded = magnitude + 0x7ffffu + ((magnitude >> 20) & 1u);
  return static_cast<uint8_t>(sign | ((rounded - (120u << 23)) >> 20));
}

}  // namespace nibble
