// E4M3: all 256 codes, and rounding against an exhaustive search for the nearest code.
#include "numbers/e4m3.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace nibble {
namespace {

static_assert(e4m3_to_f32(kE4m3One) == 1.0f && f32_to_e4m3(1.0f) == kE4m3One);
static_assert(e4m3_to_f32(kE4m3MaxCode) == kE4m3Max && f32_to_e4m3(1e9f) == kE4m3MaxCode);
static_assert(e4m3_to_f32(0x01) == 0x1p-9f && e4m3_to_f32(0x81) == -0x1p-9f);

double value_of(uint32_t code) {
  const int exponent = static_cast<int>((code >> 3) & 15u);
  const double mantissa = code & 7u;
  return exponent == 0 ? std::ldexp(mantissa, -9) : std::ldexp(8.0 + mantissa, exponent - 10);
}

// The nearest code by trying all; ties go to the even one.
uint8_t search(double magnitude) {
  uint32_t best = 0;
  for (uint32_t code = 1; code <= kE4m3MaxCode; ++code) {
    const double distance = std::abs(value_of(code) - magnitude);
    const double best_distance = std::abs(value_of(best) - magnitude);
    if (distance < best_distance || (distance == best_distance && code % 2 == 0)) best = code;
  }
  return static_cast<uint8_t>(best);
}

TEST(E4m3, DecodesAndRoundTripsEveryCode) {
  for (uint32_t code = 0; code < 256; ++code) {
    const float value = e4m3_to_f32(static_cast<uint8_t>(code));
    if ((code & 0x7fu) == 0x7f) {
      EXPECT_TRUE(std::isnan(value));
      EXPECT_EQ(f32_to_e4m3(value) & 0x7f, 0x7f);
      continue;
    }
    EXPECT_EQ(std::abs(static_cast<double>(value)), value_of(code & 0x7fu));
    EXPECT_EQ(std::signbit(value), code >= 0x80);
    EXPECT_EQ(f32_to_e4m3(value), code);
  }
}

TEST(E4m3, RoundsToNearestEven) {
  for (uint32_t code = 0; code < kE4m3MaxCode; ++code) {
    const auto low = static_cast<float>(value_of(code));
    const auto high = static_cast<float>(value_of(code + 1));
    const float tie = (low + high) / 2;
    for (const float value : {low, std::nextafter(low, high), std::nextafter(tie, low), tie,
                              std::nextafter(tie, high), std::nextafter(high, low), high}) {
      EXPECT_EQ(f32_to_e4m3(value), search(value)) << value;
      EXPECT_EQ(f32_to_e4m3(-value), search(value) | 0x80) << value;
    }
  }
  // A walk through all of F32's positive range in uneven steps.
  for (uint32_t bits = 0; bits < 0x7f800000u; bits += 1000003u) {
    const auto value = std::bit_cast<float>(bits);
    EXPECT_EQ(f32_to_e4m3(value), search(std::min(value, 448.0f))) << value;
  }
}

TEST(E4m3, SaturatesAndKeepsNaN) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const float value : {448.0f, 464.0f, 465.0f, 1e38f, kInfinity}) {
    EXPECT_EQ(f32_to_e4m3(value), 0x7e);
    EXPECT_EQ(f32_to_e4m3(-value), 0xfe);
  }
  EXPECT_EQ(f32_to_e4m3(std::numeric_limits<float>::quiet_NaN()), 0x7f);
  EXPECT_EQ(f32_to_e4m3(-0.0f), 0x80);
}

TEST(E4m3, EncodesTheKnownScales) {
  const std::pair<float, uint8_t> cases[] = {
      {0x1p-11f, 0x00}, {0x1p-10f, 0x00}, {1.5f * 0x1p-9f, 0x02}, {7.6f * 0x1p-9f, 0x08},
      {17.0f, 0x58},    {19.0f, 0x5a},    {247.0f, 0x77},         {248.0f, 0x78},
      {256.0f, 0x78},   {300.0f, 0x79},   {448.0f, 0x7e},
  };
  for (const auto& [value, code] : cases) EXPECT_EQ(f32_to_e4m3(value), code) << value;
}

}  // namespace
}  // namespace nibble
