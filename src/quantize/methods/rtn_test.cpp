#include "quantize/methods/rtn.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "quantize/methods/matrix_fixture.h"

namespace nibble {
namespace {

using test::Bf16Matrix;
using testing::ElementsAre;
using testing::ElementsAreArray;

QuantizedMatrix quantized(const Bf16Matrix& matrix, float tensor_scale, size_t n_threads = 1) {
  ThreadPool pool(n_threads);
  auto result = quantize_rtn({matrix.view(), tensor_scale}, pool);
  EXPECT_TRUE(result.has_value());
  return std::move(result).value();
}

// Every tie of E2M1, a tie of E4M3, a block of zeros and one whose scale underflows.
TEST(Rtn, KnownRowOfFourBlocks) {
  const Bf16Matrix row{
      1, 64, {0x3AE0, 0x3BA8, 0x3C0C, 0x3C44, 0x3C8C, 0x3CC4, 0x3D0C, 0x3D28, 0xBAE0, 0xBBA8,
              0xBC0C, 0xBC44, 0xBC8C, 0xBCC4, 0xBD0C, 0xBD28, 0x3ACC, 0xBA40, 0x39C0, 0x3998,
              0xB780, 0x3900, 0x0000, 0x3A80, 0x3A20, 0xBA60, 0x3940, 0x3880, 0xB880, 0x39A0,
              0x39E0, 0x3AA0, 0x0000, 0x0000, 0x0000, 0x0000, 0x0000, 0x0000, 0x0000, 0x0000,
              0x0000, 0x0000, 0x0000, 0x0000, 0x0000, 0x0000, 0x0000, 0x0000, 0x3340, 0xB340,
              0x3300, 0x3280, 0xB280, 0x3200, 0x3180, 0x0000, 0x0000, 0x0000, 0x0000, 0x0000,
              0x0000, 0x0000, 0x0000, 0x3340}};
  EXPECT_EQ(nvfp4_tensor_scale(row.amax()), 0x1p-16f);
  const QuantizedMatrix matrix = quantized(row, nvfp4_tensor_scale(row.amax()));
  EXPECT_THAT(matrix.scales, ElementsAre(0x7E, 0x58, 0x38, 0x01));
  EXPECT_THAT(matrix.codes,
              ElementsAreArray({0x20, 0x42, 0x64, 0x76, 0xA8, 0xCA, 0xEC, 0xFE, 0xD7, 0x23, 0x18,
                                0x60, 0xE4, 0x02, 0x28, 0x64, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
                                0x00, 0x00, 0xB3, 0x12, 0x09, 0x00, 0x00, 0x00, 0x00, 0x30}));
}

// The canonical tensor scale is one ulp below amax / 2688 here, which moves one code.
TEST(Rtn, KnownBlockWithOrdinaryAmax) {
  const Bf16Matrix block{1,
                         16,
                         {0x3E9A, 0xBC24, 0x3CA4, 0x3D4D, 0xBD8F, 0x3DE1, 0x3E05, 0xBE24, 0x3E43,
                          0x3BA4, 0xBE76, 0x3E8F, 0x0000, 0xBA6C, 0x3D1A, 0x3DB4}};
  const float canonical = nvfp4_tensor_scale(block.amax());
  EXPECT_EQ(std::bit_cast<uint32_t>(canonical), 0x38EAAAAAu);
  const QuantizedMatrix ours = quantized(block, canonical);
  EXPECT_THAT(ours.scales, ElementsAre(0x7E));
  EXPECT_THAT(ours.codes, ElementsAre(0x87, 0x21, 0x4B, 0xD5, 0x06, 0x7E, 0x80, 0x42));
  const QuantizedMatrix raw = quantized(block, std::bit_cast<float>(0x38EAAAABu));
  EXPECT_THAT(raw.codes, ElementsAre(0x87, 0x21, 0x4B, 0xD5, 0x06, 0x7E, 0x80, 0x41));
}

TEST(Rtn, SiblingOfHalfTheSizeKeepsItsCodesUnderTheSharedScale) {
  const std::vector<float> gate = {21.0f / 64, -0.25f,    0.125f,     0.0625f,
                                   0.0f,       1.0f / 32, -3.0f / 16, 3.0f / 32};
  Bf16Matrix whole{1, 16, {}};
  Bf16Matrix half{1, 16, {}};
  for (size_t i = 0; i < 16; ++i) {
    whole.words.push_back(f32_to_bf16(gate[i % 8]));
    half.words.push_back(f32_to_bf16(gate[i % 8] / 2));
  }
  const float shared = nvfp4_tensor_scale(whole.amax());
  EXPECT_EQ(shared, 0x1p-13f);
  EXPECT_THAT(quantized(whole, shared).scales, ElementsAre(0x7E));
  EXPECT_THAT(quantized(half, shared).scales, ElementsAre(0x76));
  EXPECT_EQ(quantized(half, shared).codes, quantized(whole, shared).codes);
}

TEST(Rtn, EqualsTheCodecOfNumbers) {
  const Bf16Matrix matrix = test::random_matrix(40, 208, 7);
  const float tensor_scale = nvfp4_tensor_scale(matrix.amax());
  const std::vector<float> values = matrix.values();
  const QuantizedMatrix result = quantized(matrix, tensor_scale);
  for (size_t block = 0; block < result.scales.size(); ++block) {
    const float* in = values.data() + block * kNvfp4BlockSize;
    float amax = 0.0f;
    for (size_t i = 0; i < kNvfp4BlockSize; ++i) amax = std::max(amax, std::fabs(in[i]));
    ASSERT_EQ(result.scales[block], nvfp4_block_scale(amax, tensor_scale)) << block;
    uint8_t packed[kNvfp4BlockBytes];
    nvfp4_encode_block(in, result.scales[block], tensor_scale, packed);
    ASSERT_EQ(std::memcmp(packed, result.codes.data() + block * kNvfp4BlockBytes, sizeof(packed)),
              0)
        << block;
  }
}

TEST(Rtn, SameForEveryNumberOfThreadsAndEveryStoredType) {
  const Bf16Matrix matrix = test::random_matrix(301, 512, 3);
  const float tensor_scale = nvfp4_tensor_scale(matrix.amax());
  const QuantizedMatrix one = quantized(matrix, tensor_scale, 1);
  const QuantizedMatrix three = quantized(matrix, tensor_scale, 3);
  EXPECT_EQ(one.codes, three.codes);
  EXPECT_EQ(one.scales, three.scales);
  const std::vector<float> values = matrix.values();
  ThreadPool pool(2);
  const auto from_f32 = quantize_rtn(
      {{DType::kF32, {matrix.rows, matrix.cols}, std::as_bytes(std::span(values))}, tensor_scale},
      pool);
  ASSERT_TRUE(from_f32.has_value());
  EXPECT_EQ(from_f32->codes, one.codes);
  EXPECT_EQ(from_f32->scales, one.scales);
}

TEST(Rtn, MatricesOfZerosAndWithoutRows) {
  const Bf16Matrix zeros{3, 32, std::vector<uint16_t>(96)};
  const QuantizedMatrix matrix = quantized(zeros, nvfp4_tensor_scale(zeros.amax()));
  EXPECT_EQ(matrix.tensor_scale, 1.0f);
  EXPECT_THAT(matrix.scales, testing::Each(kNvfp4ZeroBlockScale));
  EXPECT_THAT(matrix.codes, testing::Each(0));
  EXPECT_TRUE(quantized(Bf16Matrix{0, 32, {}}, 1.0f).codes.empty());
  EXPECT_TRUE(quantized(Bf16Matrix{4, 0, {}}, 1.0f).codes.empty());
}

}  // namespace
}  // namespace nibble
