// bf16 and half precision: every code, and rounding against exact comparison of neighbours.
#include "numbers/bf16.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace nibble {
namespace {

static_assert(bf16_to_f32(0x3fc0) == 1.5f && f32_to_bf16(1.5f) == 0x3fc0);
static_assert(f16_to_f32(0x3e00) == 1.5f && f32_to_f16(1.5f) == 0x3e00);
static_assert(f16_to_f32(0x0001) == 0x1p-24f && f32_to_f16(0x1p-24f) == 1);

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// The value of a half precision code from its definition.
double half_value(uint32_t code) {
  const int exponent = static_cast<int>((code >> 10) & 31u);
  const double mantissa = code & 1023u;
  const double value =
      exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024.0 + mantissa, exponent - 25);
  return (code & 0x8000u) != 0 ? -value : value;
}

TEST(Bf16, RoundTripsEveryCode) {
  for (uint32_t code = 0; code <= 0xffff; ++code) {
    const float value = bf16_to_f32(static_cast<uint16_t>(code));
    const uint16_t back = f32_to_bf16(value);
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(bf16_to_f32(back)));
      EXPECT_EQ(back, code | 0x40u);
    } else {
      EXPECT_EQ(std::bit_cast<uint32_t>(value), code << 16);
      EXPECT_EQ(back, code);
    }
  }
}

TEST(Bf16, RoundsToNearestEven) {
  for (uint32_t code = 0; code < 0x7f80; ++code) {
    for (const uint32_t sign : {0u, 0x80000000u}) {
      const uint32_t tie = sign | (code << 16) | 0x8000u;
      const auto below = static_cast<uint16_t>((sign >> 16) | code);
      const auto above = static_cast<uint16_t>(below + 1);
      EXPECT_EQ(f32_to_bf16(std::bit_cast<float>(tie - 1)), below);
      EXPECT_EQ(f32_to_bf16(std::bit_cast<float>(tie)), code % 2 == 0 ? below : above);
      EXPECT_EQ(f32_to_bf16(std::bit_cast<float>(tie + 1)), above);
    }
  }
  EXPECT_EQ(f32_to_bf16(std::numeric_limits<float>::max()), 0x7f80);
  EXPECT_EQ(f32_to_bf16(-kInfinity), 0xff80);
  EXPECT_TRUE(std::isnan(bf16_to_f32(f32_to_bf16(kNaN))));
  // A NaN whose payload lies in the lost bits must not become infinity.
  EXPECT_TRUE(std::isnan(bf16_to_f32(f32_to_bf16(std::bit_cast<float>(0x7f800001u)))));
  EXPECT_TRUE(std::isnan(bf16_to_f32(f32_to_bf16(std::bit_cast<float>(0xffffffffu)))));
}

TEST(F16, DecodesAndRoundTripsEveryCode) {
  for (uint32_t code = 0; code <= 0xffff; ++code) {
    const float value = f16_to_f32(static_cast<uint16_t>(code));
    if ((code & 0x7fffu) > 0x7c00u) {
      EXPECT_TRUE(std::isnan(value));
      EXPECT_TRUE(std::isnan(f16_to_f32(f32_to_f16(value))));
      continue;
    }
    if ((code & 0x7fffu) == 0x7c00u) {
      EXPECT_EQ(value, code == 0x7c00 ? kInfinity : -kInfinity);
    } else {
      EXPECT_EQ(static_cast<double>(value), half_value(code));
      EXPECT_EQ(std::signbit(value), code >= 0x8000);
    }
    EXPECT_EQ(f32_to_f16(value), code);
  }
}

TEST(F16, RoundsToNearestEven) {
  for (uint32_t code = 0; code < 0x7bff; ++code) {
    const auto tie = static_cast<float>((half_value(code) + half_value(code + 1)) / 2);
    for (const float sign : {1.0f, -1.0f}) {
      const uint32_t bit = sign < 0 ? 0x8000u : 0u;
      EXPECT_EQ(f32_to_f16(sign * std::nextafter(tie, 0.0f)), code | bit);
      EXPECT_EQ(f32_to_f16(sign * tie), (code % 2 == 0 ? code : code + 1) | bit);
      EXPECT_EQ(f32_to_f16(sign * std::nextafter(tie, kInfinity)), (code + 1) | bit);
    }
  }
  EXPECT_EQ(f32_to_f16(65519.996f), 0x7bff);
  EXPECT_EQ(f32_to_f16(65520.0f), 0x7c00);
  EXPECT_EQ(f32_to_f16(-1e30f), 0xfc00);
  EXPECT_EQ(f32_to_f16(std::numeric_limits<float>::denorm_min()), 0);
}

}  // namespace
}  // namespace nibble
