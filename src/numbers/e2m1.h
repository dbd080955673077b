// E2M1: 4-bit codes for 0, 0.5, 1, 1.5, 2, 3, 4, 6 and their negatives; bit 3 is the sign.
#pragma once

#include <cstdint>

#include "numbers/host_device.h"

namespace nibble {

inline constexpr float kE2m1Max = 6.0f;

/// Exact; code 8 is -0. Only the low four bits count.
NIBBLE_HD constexpr float e2m1_to_f32(uint8_t code) {
  constexpr float kValues[16] = {0.0f,  0.5f,  1.0f,  1.5f,  2.0f,  3.0f,  4.0f,  6.0f,
                                 -0.0f, -0.5f, -1.0f, -1.5f, -2.0f, -3.0f, -4.0f, -6.0f};
  return kValues[code & 15u];
}

/// Rounds to nearest, ties to even code; magnitudes above 6 saturate. The sign bit is set for every
/// value below zero, also where the magnitude rounds to zero; -0 gives code 0. NaN gives code 0.
NIBBLE_HD constexpr uint8_t f32_to_e2m1(float value) {
  const float m = value < 0.0f ? -value : value;
  const int code = (m > 0.25f) + (m >= 0.75f) + (m > 1.25f) + (m >= 1.75f) + (m > 2.5f) +
                   (m >= 3.5f) + (m > 5.0f);
  return static_cast<uint8_t>(code | (value < 0.0f ? 8 : 0));
}

}  // namespace nibble
