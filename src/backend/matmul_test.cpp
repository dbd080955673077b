// Products, embedding and the matrices themselves: every weight kind, every implementation, shapes
// that fit no tile.
#include <algorithm>
#include <optional>
#include <random>

#include "backend/backend_test_fixture.h"
#include "numbers/bf16.h"
#include "numbers/e4m3.h"
#include "numbers/nvfp4.h"

namespace nibble {
namespace {

using test::kTolerance;
using test::random_values;

constexpr MatrixKind kKinds[] = {
    MatrixKind::kF32,  MatrixKind::kBF16, MatrixKind::kF16, MatrixKind::kNvfp4, MatrixKind::kFp8,
    MatrixKind::kQ4_0, MatrixKind::kQ8_0, MatrixKind::kQ4K, MatrixKind::kQ5K,   MatrixKind::kQ6K};

std::optional<BlockKind> block_kind(MatrixKind kind) {
  for (const BlockKind block :
       {BlockKind::kQ4_0, BlockKind::kQ8_0, BlockKind::kQ4K, BlockKind::kQ5K, BlockKind::kQ6K}) {
    if (*matrix_kind(BlockMatrixView{0, 0, block, {}, 1.0f}) == kind) return block;
  }
  return std::nullopt;
}

// A weight matrix in one kind, its source bytes (deliberately at an odd address), and the values
// that it stands for.
class Weight {
 public:
  Weight(MatrixKind kind, size_t rows, size_t cols, uint32_t seed)
      : kind_(kind), rows_(rows), cols_(cols) {
    const std::vector<float> raw = random_values(rows * cols, seed, 0.1f);
    if (const auto block = block_kind(kind)) {
      fill_blocks(*block, seed);
    } else if (kind == MatrixKind::kNvfp4) {
      quantize(raw);
    } else if (kind == MatrixKind::kFp8) {
      store_fp8(raw, seed);
    } else {
      store(raw);
    }
  }
  MatrixSource source() const {
    const auto bytes = std::span<const std::byte>(bytes_).subspan(bytes_.empty() ? 0 : 1);
    if (kind_ == MatrixKind::kNvfp4) return quantized_.view();
    if (kind_ == MatrixKind::kFp8) {
      return Fp8MatrixView{rows_,
                           cols_,
                           {reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()},
                           scales_,
                           std::nullopt};
    }
    if (const auto block = block_kind(kind_)) {
      return BlockMatrixView{rows_, cols_, *block, bytes, 1.0f};
    }
    return TensorView{plain_dtype(), {rows_, cols_}, bytes};
  }
  const std::vector<float>& values() const { return values_; }

 private:
  DType plain_dtype() const {
    return kind_ == MatrixKind::kF32    ? DType::kF32
           : kind_ == MatrixKind::kBF16 ? DType::kBF16
                                        : DType::kF16;
  }

  void store(const std::vector<float>& raw) {
    const size_t unit = dtype_bytes(plain_dtype());
    bytes_.resize(1 + raw.size() * unit);
    for (size_t i = 0; i < raw.size(); ++i) {
      const uint16_t half = kind_ == MatrixKind::kBF16 ? f32_to_bf16(raw[i]) : f32_to_f16(raw[i]);
      const void* bytes = kind_ == MatrixKind::kF32 ? static_cast<const void*>(&raw[i]) : &half;
      std::memcpy(bytes_.data() + 1 + i * unit, bytes, unit);
      values_.push_back(kind_ == MatrixKind::kF32    ? raw[i]
                        : kind_ == MatrixKind::kBF16 ? bf16_to_f32(half)
                                                     : f16_to_f32(half));
    }
  }

  // One scale for odd seeds, one per row for even ones.
  void store_fp8(const std::vector<float>& raw, uint32_t seed) {
    scales_.resize(seed % 2 == 0 ? rows_ : 1);
    for (size_t i = 0; i < scales_.size(); ++i) scales_[i] = 0.37f / static_cast<float>(i + 1);
    bytes_.resize(1 + raw.size());
    for (size_t i = 0; i < raw.size(); ++i) {
      const float scale = scales_[scales_.size() == 1 ? 0 : i / cols_];
      const uint8_t code = f32_to_e4m3(raw[i] / scale);
      bytes_[1 + i] = static_cast<std::byte>(code);
      values_.push_back(e4m3_to_f32(code) * scale);
    }
  }

  // Any codes and small scales, with moderate half-precision scales of the blocks.
  void fill_blocks(BlockKind block, uint32_t seed) {
    std::mt19937 engine(seed);
    bytes_.resize(1 + rows_ * cols_ / block_values(block) * block_bytes(block));
    for (std::byte& byte : bytes_) byte = static_cast<std::byte>(engine() & 0xffu);
    for (size_t at = 1; at < bytes_.size(); at += block_bytes(block)) {
      const size_t first = at + (block == BlockKind::kQ6K ? 208 : 0);
      const uint16_t half = f32_to_f16(0.001f + 0.0001f * static_cast<float>(engine() % 64));
      std::memcpy(bytes_.data() + first, &half, 2);
      const bool has_minimum = block == BlockKind::kQ4K || block == BlockKind::kQ5K;
      if (has_minimum) std::memcpy(bytes_.data() + first + 2, &half, 2);
    }
    values_.resize(rows_ * cols_);
    ASSERT_TRUE(decode_rows(source(), 0, rows_, values_));
  }

  void quantize(const std::vector<float>& raw) {
    quantized_.rows = rows_;
    quantized_.cols = cols_;
    // So large that small blocks get subnormal scales.
    quantized_.tensor_scale = 0.25f;
    quantized_.codes.resize(raw.size() / 2);
    quantized_.scales.resize(raw.size() / 16);
    values_.resize(raw.size());
    for (size_t b = 0; b < raw.size() / 16; ++b) {
      std::vector<float> block(raw.begin() + static_cast<ptrdiff_t>(b * 16),
                               raw.begin() + static_cast<ptrdiff_t>(b * 16 + 16));
      if (b % 3 == 0) std::for_each(block.begin(), block.end(), [](float& v) { v *= 0.03f; });
      float amax = 0.0f;
      for (const float v : block) amax = std::fmax(amax, std::fabs(v));
      quantized_.scales[b] = nvfp4_block_scale(amax, quantized_.tensor_scale);
      nvfp4_encode_block(block.data(), quantized_.scales[b], quantized_.tensor_scale,
                         quantized_.codes.data() + b * 8);
      nvfp4_decode_block(quantized_.codes.data() + b * 8, quantized_.scales[b],
                         quantized_.tensor_scale, values_.data() + b * 16);
    }
  }

  MatrixKind kind_;
  size_t rows_;
  size_t cols_;
  std::vector<std::byte> bytes_;
  std::vector<float> scales_;
  QuantizedMatrix quantized_;
  std::vector<float> values_;
};

std::vector<float> product(const std::vector<float>& weight, size_t rows, size_t cols,
                           const std::vector<float>& x, size_t n_tokens) {
  std::vector<float> out(n_tokens * rows);
  for (size_t t = 0; t < n_tokens; ++t) {
    for (size_t r = 0; r < rows; ++r) {
      double sum = 0.0;
      for (size_t c = 0; c < cols; ++c) {
        sum += static_cast<double>(weight[r * cols + c]) * static_cast<double>(x[t * cols + c]);
      }
      out[t * rows + r] = static_cast<float>(sum);
    }
  }
  return out;
}

class Matmul : public test::EveryImplementation {
 protected:
  void check(MatrixKind kind, size_t rows, size_t cols, size_t n_tokens) {
    const Weight weight(kind, rows, cols, static_cast<uint32_t>(rows * 131 + cols));
    const auto matrix = backend().load_matrix(weight.source());
    ASSERT_TRUE(matrix.has_value());
    const auto x = random_values(n_tokens * cols, static_cast<uint32_t>(n_tokens));
    std::vector<float> expected = product(weight.values(), rows, cols, x, n_tokens);
    const std::string what = "kind " + std::to_string(static_cast<int>(kind)) + " [" +
                             std::to_string(rows) + ", " + std::to_string(cols) + "] x " +
                             std::to_string(n_tokens);

    std::vector<float> out(n_tokens * rows + 1, 7.0f);
    const Projection plain{matrix->get(), out.data()};
    backend().matmul(x.data(), n_tokens, {&plain, 1});
    EXPECT_EQ(out.back(), 7.0f) << what;
    out.pop_back();
    test::expect_close(out, expected, kTolerance.matmul, what);

    const auto start = random_values(n_tokens * rows, 5);
    out = start;
    for (size_t i = 0; i < out.size(); ++i) expected[i] += start[i];
    const Projection added{matrix->get(), out.data(), true};
    backend().matmul(x.data(), n_tokens, {&added, 1});
    test::expect_close(out, expected, kTolerance.matmul, what + ", accumulated");
  }
};

TEST_P(Matmul, EveryKindAndAwkwardShapes) {
  for (const MatrixKind kind : kKinds) {
    const size_t odd = matrix_block_values(kind);
    if (odd > 16) {
      // Rows of blocks: as few tokens as there are forms of the product.
      for (const size_t n_tokens : {1, 2, 3, 4, 5, 6, 7, 13, 40}) {
        check(kind, 1, odd, n_tokens);
        check(kind, 33, 3 * odd, n_tokens);
      }
      check(kind, 0, odd, 3);
      check(kind, 3, 0, 3);
      check(kind, 70, 1280, 20);
      continue;
    }
    for (const size_t n_tokens : {1, 2, 3, 4, 5, 7, 8, 9, 13, 14, 15, 31, 64}) {
      check(kind, 1, odd, n_tokens);
      check(kind, 5, 48, n_tokens);
      check(kind, 33, 7 * odd, n_tokens);
      check(kind, 67, 272 + odd * 3, n_tokens);
    }
    check(kind, 0, 32, 3);
    check(kind, 3, 0, 3);
    check(kind, 32, 32, 0);
    check(kind, 300, 1040, 3);
    check(kind, 300, 1040, 40);
    check(kind, 40, 4096 + 16 * odd, 20);
    check(kind, 1030, 64, 130);
  }
}

TEST_P(Matmul, SeveralProductsOfOneInput) {
  const size_t cols = 256;
  constexpr size_t kN = std::size(kKinds);
  const size_t rows[kN] = {70, 0, 1, 33, 9, 8, 0, 5, 34, 2};
  for (const size_t n_tokens : {1, 6, 50}) {
    const auto x = random_values(n_tokens * cols, 3);
    std::vector<Weight> weights;
    std::vector<std::unique_ptr<Matrix>> matrices;
    std::vector<std::vector<float>> outs;
    for (size_t i = 0; i < kN; ++i) {
      weights.emplace_back(kKinds[i], rows[i], cols, static_cast<uint32_t>(i));
      outs.emplace_back(n_tokens * rows[i]);
    }
    std::vector<Projection> projections;
    for (size_t i = 0; i < kN; ++i) {
      matrices.push_back(std::move(backend().load_matrix(weights[i].source())).value());
      projections.push_back({matrices[i].get(), outs[i].data()});
    }
    backend().matmul(x.data(), n_tokens, projections);
    for (size_t i = 0; i < kN; ++i) {
      test::expect_close(outs[i], product(weights[i].values(), rows[i], cols, x, n_tokens),
                         kTolerance.matmul, "product " + std::to_string(i));
    }
  }
}

TEST_P(Matmul, EmbedDecodesRowsExactly) {
  for (const MatrixKind kind : kKinds) {
    const size_t unit = matrix_block_values(kind);
    const size_t cols = unit == 1 ? 77 : 5 * unit;
    const Weight weight(kind, 11, cols, 9);
    const auto matrix = backend().load_matrix(weight.source());
    ASSERT_TRUE(matrix.has_value());
    const std::vector<int32_t> tokens = {10, 0, 3, 3};
    std::vector<float> out(tokens.size() * cols);
    backend().embed(**matrix, tokens, out.data());
    for (size_t t = 0; t < tokens.size(); ++t) {
      for (size_t c = 0; c < cols; ++c) {
        ASSERT_EQ(out[t * cols + c], weight.values()[static_cast<size_t>(tokens[t]) * cols + c]);
      }
    }
    backend().embed(**matrix, {}, nullptr);
  }
}

TEST_P(Matmul, DecodesEveryNvfp4ScaleAndCode) {
  QuantizedMatrix matrix;
  matrix.rows = 0x7f;
  matrix.cols = 16;
  matrix.tensor_scale = 0.37f;
  std::vector<float> expected(matrix.rows * 16);
  for (uint8_t scale = 0; scale < 0x7f; ++scale) {
    matrix.scales.push_back(scale);
    for (uint8_t pair = 0; pair < 8; ++pair) {
      matrix.codes.push_back(static_cast<uint8_t>(2 * pair | (2 * pair + 1) << 4));
    }
    nvfp4_decode_block(matrix.codes.data() + size_t{scale} * 8, scale, matrix.tensor_scale,
                       expected.data() + size_t{scale} * 16);
  }
  const auto loaded = backend().load_matrix(matrix.view());
  ASSERT_TRUE(loaded.has_value());
  // Unit vectors as tokens read the matrix out column by column, through both regimes.
  for (const size_t n_tokens : {1, 16, 48}) {
    std::vector<float> x(n_tokens * 16, 0.0f);
    for (size_t t = 0; t < n_tokens; ++t) x[t * 16 + t % 16] = 1.0f;
    std::vector<float> out(n_tokens * matrix.rows);
    const Projection projection{loaded->get(), out.data()};
    backend().matmul(x.data(), n_tokens, {&projection, 1});
    for (size_t t = 0; t < n_tokens; ++t) {
      for (size_t r = 0; r < matrix.rows; ++r) {
        ASSERT_EQ(out[t * matrix.rows + r], expected[r * 16 + t % 16]) << r << " " << t;
      }
    }
  }
}

TEST_P(Matmul, DecodesEveryFp8Code) {
  std::vector<uint8_t> codes;
  std::vector<float> expected;
  for (int code = 0; code < 256; ++code) {
    const bool is_nan = (code & 0x7f) == 0x7f;
    codes.push_back(is_nan ? 0 : static_cast<uint8_t>(code));
    expected.push_back(e4m3_to_f32(codes.back()) * 0.37f);
  }
  const std::vector<float> scale = {0.37f};
  const auto loaded = backend().load_matrix(Fp8MatrixView{1, 256, codes, scale, std::nullopt});
  ASSERT_TRUE(loaded.has_value());
  std::vector<float> out(256);
  const int32_t token = 0;
  backend().embed(**loaded, {&token, 1}, out.data());
  EXPECT_EQ(out, expected);
}

TEST_P(Matmul, TakesNvfp4BlocksOfGguf) {
  std::mt19937 engine(3);
  std::vector<std::byte> bytes(7 * 2 * 36);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(engine() & 0x7fu);
  const BlockMatrixView blocks{7, 128, BlockKind::kNvfp4, bytes, 0.03f};
  std::vector<float> expected(7 * 128);
  ASSERT_TRUE(decode_rows(blocks, 0, 7, expected));
  EXPECT_EQ(*matrix_kind(blocks), MatrixKind::kNvfp4);
  const auto loaded = backend().load_matrix(blocks);
  ASSERT_TRUE(loaded.has_value());
  const std::vector<int32_t> tokens = {0, 1, 2, 3, 4, 5, 6};
  std::vector<float> out(expected.size());
  backend().embed(**loaded, tokens, out.data());
  EXPECT_EQ(out, expected);
}

TEST_P(Matmul, RefusesWhatItCannotTake) {
  for (const MatrixKind kind : kKinds) {
    const uint64_t unit = matrix_block_values(kind);
    EXPECT_TRUE(backend().supports(kind, 3, 5 * unit));
    EXPECT_EQ(backend().supports(kind, 3, 5 * unit + 1), unit == 1);
    const auto block = block_kind(kind);
    if (!block) continue;
    const std::vector<std::byte> bytes(block_bytes(*block));
    const auto load = [&](uint64_t rows, uint64_t cols) {
      return backend().load_matrix(BlockMatrixView{rows, cols, *block, bytes, 1.0f});
    };
    EXPECT_TRUE(load(1, unit).has_value());
    EXPECT_EQ(load(1, unit - 1).error().code, ErrorCode::kUnsupported);
    EXPECT_EQ(load(2, unit).error().code, ErrorCode::kMismatch);
    EXPECT_EQ(load(uint64_t{1} << 60, unit * 16).error().code, ErrorCode::kMismatch);
  }
  const std::vector<uint8_t> codes(12);
  const std::vector<float> scales(2, 1.0f);
  const auto fp8 = backend().load_matrix(Fp8MatrixView{4, 3, codes, scales, std::nullopt});
  EXPECT_EQ(fp8.error().code, ErrorCode::kMismatch);

  EXPECT_FALSE(backend().supports(MatrixKind::kNvfp4, 4, 24));
  EXPECT_TRUE(backend().supports(MatrixKind::kNvfp4, 4, 32));
  EXPECT_TRUE(backend().supports(MatrixKind::kF16, 3, 5));

  const std::vector<std::byte> bytes(64);
  const auto load = [&](DType dtype, Shape shape) {
    return backend().load_matrix(TensorView{dtype, std::move(shape), bytes});
  };
  EXPECT_EQ(load(DType::kI8, {8, 8}).error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(load(DType::kF32, {16}).error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(load(DType::kF32, {4, 5}).error().code, ErrorCode::kMismatch);
  EXPECT_EQ(load(DType::kBF16, {uint64_t{1} << 63, 2}).error().code, ErrorCode::kMismatch);

  QuantizedMatrix quantized;
  quantized.rows = 1;
  quantized.cols = 24;
  EXPECT_EQ(backend().load_matrix(quantized.view()).error().code, ErrorCode::kUnsupported);
  quantized.cols = 32;
  EXPECT_EQ(backend().load_matrix(quantized.view()).error().code, ErrorCode::kMismatch);
}

INSTANTIATE_FOR_EVERY_IMPLEMENTATION(Matmul);

}  // namespace
}  // namespace nibble
