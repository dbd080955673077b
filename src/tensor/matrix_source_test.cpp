// Every storage of a matrix: decoding, slicing, sizes, what is not finite.
#include "tensor/matrix_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "numbers/bf16.h"
#include "numbers/e4m3.h"
#include "numbers/ggml_blocks.h"
#include "numbers/nvfp4.h"

namespace nibble {
namespace {

constexpr BlockKind kBlockKinds[] = {BlockKind::kQ4_0, BlockKind::kQ8_0, BlockKind::kQ4K,
                                     BlockKind::kQ5K,  BlockKind::kQ6K,  BlockKind::kNvfp4};

std::vector<std::byte> random_bytes(size_t n) {
  std::mt19937 engine(7);
  std::vector<std::byte> bytes(n);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(engine() & 0xffu);
  return bytes;
}

// A matrix of any bytes, with the exponents of half-precision scales cleared of NaN.
struct Blocks {
  std::vector<std::byte> bytes;
  BlockMatrixView view;

  Blocks(BlockKind kind, uint64_t rows, uint64_t n_blocks)
      : bytes(random_bytes(rows * n_blocks * block_bytes(kind))) {
    view = {rows, n_blocks * block_values(kind), kind, bytes, 1.0f};
    if (kind == BlockKind::kNvfp4) view.tensor_scale = 0.37f;
    const size_t first = kind == BlockKind::kQ6K ? 208 : 0;
    const bool has_two = kind == BlockKind::kQ4K || kind == BlockKind::kQ5K;
    if (kind == BlockKind::kNvfp4) return;
    for (size_t block = 0; block < rows * n_blocks; ++block) {
      std::byte* at = bytes.data() + block * block_bytes(kind) + first;
      at[1] &= std::byte{0xbf};
      if (has_two) at[3] &= std::byte{0xbf};
    }
  }
};

std::vector<float> decode(const MatrixSource& source, uint64_t first, uint64_t n) {
  std::vector<float> out(n * matrix_cols(source));
  EXPECT_TRUE(decode_rows(source, first, n, out));
  return out;
}

TEST(MatrixSource, DecodesBlocksOfEveryKindRowByRow) {
  for (const BlockKind kind : kBlockKinds) {
    SCOPED_TRACE(block_kind_name(kind));
    const Blocks blocks(kind, 5, 3);
    ASSERT_TRUE(has_whole_bytes(blocks.view));
    EXPECT_EQ(matrix_rows(blocks.view), 5u);
    EXPECT_EQ(matrix_cols(blocks.view), 3 * block_values(kind));
    const auto all = decode(blocks.view, 0, 5);
    EXPECT_THAT(all, testing::Each(testing::Truly([](float v) { return std::isfinite(v); })));
    EXPECT_THAT(all, testing::Contains(testing::Ne(0.0f)));
    for (uint64_t row = 0; row < 5; ++row) {
      const auto cols = static_cast<ptrdiff_t>(blocks.view.cols);
      const auto begin = all.begin() + static_cast<ptrdiff_t>(row) * cols;
      const std::vector<float> expected(begin, begin + cols);
      EXPECT_EQ(decode(blocks.view, row, 1), expected);
      EXPECT_EQ(decode(slice_rows(blocks.view, row, 1), 0, 1), expected);
    }
  }
}

TEST(MatrixSource, DecodesFp8WithOneScaleOrOnePerRow) {
  const std::vector<uint8_t> codes = {0x38, 0xb8, 0x01, 0x7e, 0x00, 0x40};
  const std::vector<float> one = {0.3f};
  const std::vector<float> per_row = {0.3f, 2.0f};
  Fp8MatrixView view{2, 3, codes, one, std::nullopt};
  EXPECT_TRUE(has_whole_bytes(view));
  EXPECT_THAT(decode(view, 0, 2),
              testing::ElementsAre(0.3f, -0.3f, 0x1p-9f * 0.3f, 448.0f * 0.3f, 0.0f, 2.0f * 0.3f));
  view.scales = per_row;
  EXPECT_TRUE(has_whole_bytes(view));
  EXPECT_THAT(decode(view, 1, 1), testing::ElementsAre(896.0f, 0.0f, 4.0f));
  EXPECT_THAT(decode(slice_rows(view, 1, 1), 0, 1), testing::ElementsAre(896.0f, 0.0f, 4.0f));
  view.rows = 3;
  EXPECT_FALSE(has_whole_bytes(view));
}

TEST(MatrixSource, RepacksGgufNvfp4WithoutLoss) {
  Blocks blocks(BlockKind::kNvfp4, 3, 2);
  blocks.bytes[2] = std::byte{0x7f};  // means zero in GGUF, NaN elsewhere
  const QuantizedMatrix canonical = canonical_nvfp4(blocks.view);
  EXPECT_TRUE(has_whole_bytes(canonical.view()));
  EXPECT_EQ(decode(canonical.view(), 0, 3), decode(blocks.view, 0, 3));
  for (const uint8_t scale : canonical.scales) EXPECT_LE(scale, kE4m3MaxCode);
}

TEST(MatrixSource, TakesPlainTensorsOfAnyRank) {
  const std::vector<float> values = {1, 2, 3, 4, 5, 6, 7, 8};
  const TensorView view{DType::kF32, {2, 2, 2}, std::as_bytes(std::span(values))};
  EXPECT_EQ(matrix_rows(view), 4u);
  EXPECT_EQ(matrix_cols(view), 2u);
  EXPECT_THAT(decode(view, 1, 2), testing::ElementsAre(3, 4, 5, 6));
  const MatrixSource part = slice_rows(view, 2, 2);
  EXPECT_EQ(std::get<TensorView>(part).shape, (Shape{2, 2}));
  EXPECT_THAT(decode(part, 1, 1), testing::ElementsAre(7, 8));
  const TensorView vector{DType::kF32, {8}, std::as_bytes(std::span(values))};
  EXPECT_EQ(matrix_rows(vector), 1u);
  const TensorView integers{DType::kI32, {8}, std::as_bytes(std::span(values))};
  std::vector<float> out(8);
  EXPECT_EQ(decode_rows(integers, 0, 1, out).error().code, ErrorCode::kInvalidArgument);
}

TEST(MatrixSource, SeesBytesThatDoNotFitTheShape) {
  const std::vector<std::byte> bytes(144);
  for (const BlockKind kind : kBlockKinds) {
    EXPECT_FALSE(has_whole_bytes(BlockMatrixView{1, block_values(kind), kind, {}, 1.0f}));
    EXPECT_FALSE(has_whole_bytes(BlockMatrixView{0, 16, kind, {}, 1.0f}));
    EXPECT_TRUE(has_whole_bytes(BlockMatrixView{0, block_values(kind), kind, {}, 1.0f}));
  }
  const uint64_t huge = uint64_t{1} << 60;
  EXPECT_FALSE(has_whole_bytes(BlockMatrixView{huge, 256, BlockKind::kQ4K, bytes, 1.0f}));
  EXPECT_FALSE(has_whole_bytes(TensorView{DType::kF32, {huge, huge}, bytes}));
}

TEST(MatrixSource, FindsTheFirstRowThatIsNotFinite) {
  for (const BlockKind kind : kBlockKinds) {
    SCOPED_TRACE(block_kind_name(kind));
    Blocks blocks(kind, 4, 2);
    EXPECT_EQ(first_not_finite_row(blocks.view, 0, 4), std::nullopt);
    if (kind == BlockKind::kNvfp4) {
      blocks.view.tensor_scale = std::numeric_limits<float>::infinity();
      EXPECT_EQ(first_not_finite_row(blocks.view, 1, 3), 1u);
      continue;
    }
    const size_t row_bytes = 2 * block_bytes(kind);
    const size_t at = kind == BlockKind::kQ6K ? 208 : 0;
    blocks.bytes[2 * row_bytes + block_bytes(kind) + at + 1] = std::byte{0x7e};
    EXPECT_EQ(first_not_finite_row(blocks.view, 0, 4), 2u);
    EXPECT_EQ(first_not_finite_row(blocks.view, 3, 1), std::nullopt);
  }
  std::vector<uint8_t> codes(8, 0x7e);
  const std::vector<float> scales = {1.0f, 1.0f};
  EXPECT_EQ(first_not_finite_row(Fp8MatrixView{2, 4, codes, scales, {}}, 0, 2), std::nullopt);
  codes[6] = 0xff;
  EXPECT_EQ(first_not_finite_row(Fp8MatrixView{2, 4, codes, scales, {}}, 0, 2), 1u);
  const std::vector<float> plain = {0.0f, 1.0f, std::nanf(""), 2.0f};
  EXPECT_EQ(
      first_not_finite_row(TensorView{DType::kF32, {2, 2}, std::as_bytes(std::span(plain))}, 0, 2),
      1u);
}

}  // namespace
}  // namespace nibble
