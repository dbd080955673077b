#include "quantize/methods/fp8.h"

#include <gtest/gtest.h>

#include <cmath>

#include "numbers/e4m3.h"

namespace nibble {
namespace {

TensorView f32_matrix(const std::vector<float>& values, uint64_t rows) {
  return {DType::kF32, {rows, values.size() / rows}, std::as_bytes(std::span(values))};
}

std::vector<float> wavy(size_t n) {
  std::vector<float> values(n);
  for (size_t i = 0; i < n; ++i) {
    values[i] = std::sin(static_cast<float>(i) * 0.7f) * std::exp(-0.01f * static_cast<float>(i));
  }
  return values;
}

TEST(Fp8, EveryCodeIsTheNearestToItsWeight) {
  const std::vector<float> values = wavy(33 * 20);
  ThreadPool pool(3);
  const TensorView weights = f32_matrix(values, 20);
  for (const bool per_row : {false, true}) {
    const std::vector<float> scales =
        per_row ? fp8_row_scales(weights, pool) : std::vector<float>{fp8_scale(1.0f)};
    const Fp8Matrix matrix = quantize_fp8(weights, scales, pool);
    ASSERT_TRUE(has_whole_bytes(matrix.view()));
    std::vector<float> decoded(values.size());
    ASSERT_TRUE(decode_rows(matrix.view(), 0, 20, decoded).has_value());
    for (size_t i = 0; i < values.size(); ++i) {
      const float scale = matrix.scales[per_row ? i / 33 : 0];
      const float error = std::fabs(values[i] - decoded[i]);
      for (int code = 0; code < 256; ++code) {
        if ((code & 0x7f) == 0x7f) continue;
        const float other = e4m3_to_f32(static_cast<uint8_t>(code)) * scale;
        ASSERT_LE(error, std::fabs(values[i] - other) * 1.00001f + 1e-12f) << i << " " << code;
      }
    }
  }
}

TEST(Fp8, TheLargestValueOfEachRowBecomes448) {
  const std::vector<float> values = {1.0f, -3.0f, 0.5f, 0.25f};
  ThreadPool pool(1);
  const TensorView weights = f32_matrix(values, 2);
  const Fp8Matrix matrix = quantize_fp8(weights, fp8_row_scales(weights, pool), pool);
  EXPECT_EQ(matrix.scales, (std::vector<float>{3.0f / 448.0f, 0.5f / 448.0f}));
  EXPECT_EQ(matrix.codes[1], 0xfe);
  EXPECT_EQ(matrix.codes[2], 0x7e);
}

TEST(Fp8, ZerosAndTinyValuesGetAScaleThatReadersTake) {
  EXPECT_EQ(fp8_scale(0.0f), 1.0f);
  EXPECT_EQ(fp8_scale(0x1p-140f), 1.0f);
  const std::vector<float> values(8, 0.0f);
  ThreadPool pool(1);
  const TensorView weights = f32_matrix(values, 2);
  const Fp8Matrix matrix = quantize_fp8(weights, fp8_row_scales(weights, pool), pool);
  EXPECT_EQ(matrix.scales, (std::vector<float>{1.0f, 1.0f}));
  EXPECT_EQ(matrix.codes, std::vector<uint8_t>(8, 0));
}

TEST(Fp8, ThreadsChangeNothing) {
  const std::vector<float> values = wavy(size_t{1} << 18);
  ThreadPool one(1);
  ThreadPool three(3);
  const TensorView weights = f32_matrix(values, 256);
  const Fp8Matrix a = quantize_fp8(weights, fp8_row_scales(weights, one), one);
  const Fp8Matrix b = quantize_fp8(weights, fp8_row_scales(weights, three), three);
  EXPECT_EQ(a.codes, b.codes);
  EXPECT_EQ(a.scales, b.scales);
}

}  // namespace
}  // namespace nibble
