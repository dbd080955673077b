#include "quantize/methods/isa/row_kernels.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "numbers/bf16.h"
#include "numbers/nvfp4.h"

namespace nibble {
namespace {

constexpr size_t kBlocks = 4099;  // no multiple of any tile

// Blocks as weights are, and the shapes that make scales and codes tie, clip and underflow.
std::vector<float> awkward_blocks(unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0.0f, 0.02f);
  std::vector<float> values(kBlocks * kNvfp4BlockSize);
  for (size_t b = 0; b < kBlocks; ++b) {
    const size_t kind = b % 13;
    const float gain = std::exp2(-static_cast<float>(b % 24));
    for (size_t i = 0; i < kNvfp4BlockSize; ++i) {
      float value = normal(generator) * (kind < 6 ? 1.0f : gain);
      const auto draw = static_cast<int>(generator() % 25);
      if (kind == 7) value = 0.0f;
      if (kind == 8) value = i == b % 16 ? 0.1f : -0.0f;
      if (kind == 9) value = static_cast<float>(draw - 12) * 0x1p-9f;
      if (kind == 10) value = std::ldexp(draw % 2 == 0 ? 1.0f : -1.5f, -draw);
      if (kind == 11) value *= 0x1p-18f;
      if (kind == 12) value = draw % 2 == 0 ? 0.1f : -0.1f;
      values[b * kNvfp4BlockSize + i] = bf16_to_f32(f32_to_bf16(value));
    }
  }
  return values;
}

TEST(RowKernels, GiveTheBytesOfThePlainOnes) {
  const std::vector<float> values = awkward_blocks(1);
  const RowKernels& plain = *usable_row_kernels().front();
  ASSERT_EQ(plain.name, "scalar");
  for (const float tensor_scale :
       {nvfp4_tensor_scale(0.1f), 0x1p-15f, 0x1.921fb6p-16f, 1.0f, 0x1p-30f, 0x1p-118f, 0x1p100f}) {
    for (const RowKernels* kernels : usable_row_kernels()) {
      for (const auto member : {&RowKernels::rtn, &RowKernels::sweep}) {
        std::vector<uint8_t> codes(kBlocks * kNvfp4BlockBytes);
        std::vector<uint8_t> scales(kBlocks);
        std::vector<uint8_t> expected_codes(codes.size());
        std::vector<uint8_t> expected_scales(kBlocks);
        (plain.*member)(values.data(), kBlocks, tensor_scale, expected_codes.data(),
                        expected_scales.data());
        (kernels->*member)(values.data(), kBlocks, tensor_scale, codes.data(), scales.data());
        ASSERT_EQ(scales, expected_scales) << kernels->name << " " << tensor_scale;
        ASSERT_EQ(codes, expected_codes) << kernels->name << " " << tensor_scale;
        const RowSums ours =
            kernels->compare(values.data(), kBlocks, codes.data(), scales.data(), tensor_scale);
        const RowSums theirs =
            plain.compare(values.data(), kBlocks, codes.data(), scales.data(), tensor_scale);
        EXPECT_EQ(ours.squares, theirs.squares);
        EXPECT_EQ(ours.squared_errors, theirs.squared_errors);
        EXPECT_EQ(ours.max_abs_error, theirs.max_abs_error);
      }
    }
  }
}

// Each tie of E2M1 from both sides, under scales that divide exactly.
TEST(RowKernels, RoundTiesAlike) {
  std::vector<float> values;
  for (const float tie : {0.25f, 0.75f, 1.25f, 1.75f, 2.5f, 3.5f, 5.0f, 6.0f}) {
    for (const float near : {std::nextafter(tie, 0.0f), tie, std::nextafter(tie, 9.0f)}) {
      values.push_back(near);
      values.push_back(-near);
    }
  }
  values.resize(kNvfp4BlockSize * 4, 6.0f);
  for (const RowKernels* kernels : usable_row_kernels()) {
    uint8_t codes[4 * kNvfp4BlockBytes];
    uint8_t scales[4];
    for (size_t b = 0; b < 4; ++b) values[b * kNvfp4BlockSize + 15] = 6.0f;
    kernels->rtn(values.data(), 4, 1.0f, codes, scales);
    for (size_t i = 0; i < values.size(); ++i) {
      ASSERT_EQ(scales[i / kNvfp4BlockSize], kE4m3One);
      const uint8_t code = i % 2 == 0 ? codes[i / 2] & 15u : codes[i / 2] >> 4;
      EXPECT_EQ(code, f32_to_e2m1(values[i])) << kernels->name << " " << values[i];
    }
  }
}

TEST(RowKernels, WidenAndFindTheLargest) {
  std::vector<uint16_t> words(1 << 16);
  for (size_t i = 0; i < words.size(); ++i) words[i] = static_cast<uint16_t>(i);
  const auto* bytes = reinterpret_cast<const std::byte*>(words.data());
  for (const RowKernels* kernels : usable_row_kernels()) {
    std::vector<float> wide(words.size());
    kernels->widen_bf16(bytes, words.size(), wide.data());
    for (size_t i = 0; i < words.size(); ++i) {
      ASSERT_EQ(std::bit_cast<uint32_t>(wide[i]), static_cast<uint32_t>(i) << 16);
    }
    EXPECT_EQ(kernels->largest_bf16(bytes, words.size()), 0x7fffu);
    for (const size_t n : {0, 1, 31, 64, 77, 1000}) {
      const size_t expected = n == 0 ? 0 : n - 1;
      EXPECT_EQ(kernels->largest_bf16(bytes, n), expected) << kernels->name;
      // At an odd address.
      std::vector<std::byte> shifted(2 * n + 1);
      std::copy(bytes, bytes + 2 * n, shifted.begin() + 1);
      EXPECT_EQ(kernels->largest_bf16(shifted.data() + 1, n), expected);
    }
  }
}

}  // namespace
}  // namespace nibble
