// E2M1: all codes, every threshold and its neighbours.
#include "numbers/e2m1.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace nibble {
namespace {

static_assert(e2m1_to_f32(7) == kE2m1Max && e2m1_to_f32(15) == -kE2m1Max);
static_assert(f32_to_e2m1(2.5f) == 4 && f32_to_e2m1(-3.5f) == 14);

TEST(E2m1, DecodesAndRoundTripsEveryCode) {
  for (uint32_t code = 0; code < 16; ++code) {
    const uint32_t exponent = (code >> 1) & 3u;
    const double mantissa = code & 1u;
    const double magnitude = exponent == 0
                                 ? mantissa / 2
                                 : std::ldexp(1.0 + mantissa / 2, static_cast<int>(exponent) - 1);
    const float value = e2m1_to_f32(static_cast<uint8_t>(code));
    EXPECT_EQ(std::abs(value), magnitude);
    EXPECT_EQ(std::signbit(value), code >= 8);
    EXPECT_EQ(f32_to_e2m1(value), code == 8 ? 0u : code);
    EXPECT_EQ(e2m1_to_f32(static_cast<uint8_t>(code | 0xf0u)), value);
  }
}

TEST(E2m1, RoundsTiesToEvenCodes) {
  for (uint8_t code = 0; code < 7; ++code) {
    const float tie = (e2m1_to_f32(code) + e2m1_to_f32(static_cast<uint8_t>(code + 1))) / 2;
    const auto above = static_cast<uint8_t>(code + 1);
    const uint8_t even = code % 2 == 0 ? code : above;
    EXPECT_EQ(f32_to_e2m1(std::nextafter(tie, 0.0f)), code) << tie;
    EXPECT_EQ(f32_to_e2m1(tie), even) << tie;
    EXPECT_EQ(f32_to_e2m1(std::nextafter(tie, 10.0f)), above) << tie;
    EXPECT_EQ(f32_to_e2m1(-std::nextafter(tie, 0.0f)), code | 8) << tie;
    EXPECT_EQ(f32_to_e2m1(-tie), even | 8) << tie;
    EXPECT_EQ(f32_to_e2m1(-std::nextafter(tie, 10.0f)), above | 8) << tie;
  }
}

TEST(E2m1, TreatsTheExtremesAsDocumented) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(f32_to_e2m1(1e30f), 7);
  EXPECT_EQ(f32_to_e2m1(kInfinity), 7);
  EXPECT_EQ(f32_to_e2m1(-kInfinity), 15);
  EXPECT_EQ(f32_to_e2m1(std::numeric_limits<float>::quiet_NaN()), 0);
  EXPECT_EQ(f32_to_e2m1(0.0f), 0);
  EXPECT_EQ(f32_to_e2m1(-0.0f), 0);
  EXPECT_EQ(f32_to_e2m1(-1e-40f), 8);
}

}  // namespace
}  // namespace nibble
