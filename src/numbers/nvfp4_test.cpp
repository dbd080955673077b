// NVFP4 blocks: worked examples byte for byte, and the property that makes tensor scales canonical.
#include "numbers/nvfp4.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <vector>

#include "numbers/bf16.h"

namespace nibble {
namespace {

using testing::ElementsAre;
using testing::ElementsAreArray;

constexpr bool encodes_at_compile_time() {
  const float values[16] = {6.0f, -3.0f};
  uint8_t packed[8] = {};
  nvfp4_encode_block(values, kE4m3One, 1.0f, packed);
  float decoded[16] = {};
  nvfp4_decode_block(packed, kE4m3One, 1.0f, decoded);
  return packed[0] == 0xd7 && decoded[0] == 6.0f && decoded[1] == -3.0f && decoded[2] == 0.0f;
}
static_assert(encodes_at_compile_time());
static_assert(nvfp4_tensor_scale(2688.0f) == 1.0f && nvfp4_tensor_scale(0.0f) == 1.0f);
static_assert(nvfp4_block_scale(0.0f, 1.0f) == 0x38 && nvfp4_block_scale(6.0f, 1.0f) == 0x38);

using Block = std::array<uint16_t, 16>;  // bf16 words

struct Encoded {
  uint8_t scale = 0;
  std::vector<uint8_t> packed = std::vector<uint8_t>(kNvfp4BlockBytes);
  std::vector<float> decoded = std::vector<float>(kNvfp4BlockSize);
};

Encoded encode(const Block& block, float tensor_scale) {
  std::array<float, 16> values = {};
  std::transform(block.begin(), block.end(), values.begin(), bf16_to_f32);
  float amax = 0.0f;
  for (const float value : values) amax = std::max(amax, std::abs(value));
  Encoded out;
  out.scale = nvfp4_block_scale(amax, tensor_scale);
  nvfp4_encode_block(values.data(), out.scale, tensor_scale, out.packed.data());
  nvfp4_decode_block(out.packed.data(), out.scale, tensor_scale, out.decoded.data());
  return out;
}

std::vector<float> scaled(float unit, std::vector<float> values) {
  for (float& value : values) value *= unit;
  return values;
}

// A row whose arithmetic is exact: every tie of the codes, a tie of the scale, zeros, an underflow.
TEST(Nvfp4, EncodesTheDyadicRow) {
  constexpr float kUnit = 0x1p-16f;
  const float tensor_scale = nvfp4_tensor_scale(0.041015625f);
  EXPECT_EQ(std::bit_cast<uint32_t>(tensor_scale), 0x37800000u);

  const Encoded ties = encode({0x3ae0, 0x3ba8, 0x3c0c, 0x3c44, 0x3c8c, 0x3cc4, 0x3d0c, 0x3d28,
                               0xbae0, 0xbba8, 0xbc0c, 0xbc44, 0xbc8c, 0xbcc4, 0xbd0c, 0xbd28},
                              tensor_scale);
  EXPECT_EQ(ties.scale, 0x7e);
  EXPECT_THAT(ties.packed, ElementsAre(0x20, 0x42, 0x64, 0x76, 0xa8, 0xca, 0xec, 0xfe));

  const Encoded even = encode({0x3acc, 0xba40, 0x39c0, 0x3998, 0xb780, 0x3900, 0x0000, 0x3a80,
                               0x3a20, 0xba60, 0x3940, 0x3880, 0xb880, 0x39a0, 0x39e0, 0x3aa0},
                              tensor_scale);
  EXPECT_EQ(even.scale, 0x58);
  EXPECT_THAT(even.packed, ElementsAre(0xd7, 0x23, 0x18, 0x60, 0xe4, 0x02, 0x28, 0x64));
  EXPECT_THAT(even.decoded, ElementsAreArray(scaled(kUnit, {96, -48, 24, 16, 0, 8, 0, 64, 32, -64,
                                                            16, 0, 0, 16, 32, 64})));

  const Encoded zeros = encode({}, tensor_scale);
  EXPECT_EQ(zeros.scale, kNvfp4ZeroBlockScale);
  EXPECT_THAT(zeros.packed, testing::Each(0));

  const Encoded tiny = encode(
      {0x3340, 0xb340, 0x3300, 0x3280, 0xb280, 0x3200, 0x3180, 0, 0, 0, 0, 0, 0, 0, 0, 0x3340},
      tensor_scale);
  EXPECT_EQ(tiny.scale, kNvfp4MinScale);
  EXPECT_THAT(tiny.packed, ElementsAre(0xb3, 0x12, 0x09, 0, 0, 0, 0, 0x30));
  EXPECT_THAT(tiny.decoded, ElementsAreArray(scaled(
                                0x1p-26f, {3, -3, 2, 1, -1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3})));
}

// One unit of the tensor scale decides the code of element 14.
TEST(Nvfp4, EncodesTheOrdinaryBlockWithTheCanonicalScale) {
  const Block block = {0x3e9a, 0xbc24, 0x3ca4, 0x3d4d, 0xbd8f, 0x3de1, 0x3e05, 0xbe24,
                       0x3e43, 0x3ba4, 0xbe76, 0x3e8f, 0x0000, 0xba6c, 0x3d1a, 0x3db4};
  const float raw = 0.30078125f / kNvfp4Range;
  EXPECT_EQ(std::bit_cast<uint32_t>(raw), 0x38eaaaabu);
  const float canonical = nvfp4_tensor_scale(0.30078125f);
  EXPECT_EQ(std::bit_cast<uint32_t>(canonical), 0x38eaaaaau);
  const Encoded with_canonical = encode(block, canonical);
  EXPECT_EQ(with_canonical.scale, 0x7e);
  EXPECT_THAT(with_canonical.packed, ElementsAre(0x87, 0x21, 0x4b, 0xd5, 0x06, 0x7e, 0x80, 0x42));
  const Encoded with_raw = encode(block, raw);
  EXPECT_EQ(with_raw.scale, 0x7e);
  EXPECT_THAT(with_raw.packed, ElementsAre(0x87, 0x21, 0x4b, 0xd5, 0x06, 0x7e, 0x80, 0x41));
  EXPECT_EQ(with_raw.decoded[0], 0.30078125f);
}

TEST(Nvfp4, SharesTheLargerSiblingsScale) {
  std::array<float, 16> gate = {};
  const float half[8] = {21.0f / 64, -0.25f, 0.125f, 0.0625f, 0.0f, 0.03125f, -0.1875f, 0.09375f};
  for (size_t i = 0; i < 16; ++i) gate[i] = half[i % 8];
  std::array<float, 16> up = gate;
  for (float& value : up) value /= 2;
  const float shared = nvfp4_tensor_scale(21.0f / 64);
  EXPECT_EQ(shared, 0x1p-13f);
  EXPECT_EQ(nvfp4_block_scale(21.0f / 64, shared), 0x7e);
  EXPECT_EQ(nvfp4_block_scale(21.0f / 128, shared), 0x76);
  std::array<uint8_t, 8> gate_codes = {};
  std::array<uint8_t, 8> up_codes = {};
  nvfp4_encode_block(gate.data(), 0x7e, shared, gate_codes.data());
  nvfp4_encode_block(up.data(), 0x76, shared, up_codes.data());
  EXPECT_EQ(gate_codes, up_codes);
  EXPECT_THAT(gate_codes, ElementsAre(0xe7, 0x24, 0x10, 0x3d, 0xe7, 0x24, 0x10, 0x3d));
}

struct ReciprocalCase {
  uint32_t scale;
  uint32_t divisor;
  uint32_t canonical;
};

TEST(Nvfp4, KnowsTheReciprocals) {
  for (const auto& known : {ReciprocalCase{0x37800000, 0x47800000, 0x37800000},
                            ReciprocalCase{0x38479e7a, 0x46a42715, 0x38479e7b},
                            ReciprocalCase{0x38492492, 0x46a2e8ba, 0x38492493},
                            ReciprocalCase{0x38eaaaab, 0x460ba2e9, 0x38eaaaaa}}) {
    const auto scale = std::bit_cast<float>(known.scale);
    EXPECT_EQ(std::bit_cast<uint32_t>(1.0f / scale), known.divisor);
    EXPECT_EQ(std::bit_cast<uint32_t>(canonical_tensor_scale(scale)), known.canonical);
  }
}

TEST(Nvfp4, CanonicalScalesAreTheirReciprocalsReciprocal) {
  size_t n_changed = 0;
  for (uint32_t mantissa = 0; mantissa < (1u << 23); mantissa += 7) {
    const auto scale = std::bit_cast<float>(0x38000000u | mantissa);
    const float canonical = canonical_tensor_scale(scale);
    ASSERT_EQ(1.0f / (1.0f / canonical), canonical) << mantissa;
    ASSERT_LE(std::abs(static_cast<int>(std::bit_cast<uint32_t>(canonical)) -
                       static_cast<int>(std::bit_cast<uint32_t>(scale))),
              1)
        << mantissa;
    n_changed += canonical != scale ? 1 : 0;
  }
  EXPECT_NEAR(static_cast<double>(n_changed) / ((1u << 23) / 7), 0.1716, 0.001);
}

TEST(Nvfp4, TensorScaleSurvivesEveryMagnitude) {
  for (int exponent = -149; exponent < 128; ++exponent) {
    const float amax = std::ldexp(1.7f, std::min(exponent, 127));
    const float scale = nvfp4_tensor_scale(amax);
    EXPECT_TRUE(std::isnormal(scale)) << exponent;
    EXPECT_TRUE(std::isnormal(1.0f / scale)) << exponent;
    EXPECT_EQ(1.0f / (1.0f / scale), scale) << exponent;
    const uint8_t code = nvfp4_block_scale(amax, scale);
    EXPECT_GE(code, kNvfp4MinScale);
    EXPECT_LE(code, kE4m3MaxCode);
  }
}

}  // namespace
}  // namespace nibble
