// Products, embedding and the matrices themselves: every weight kind, every implementation, shapes
// that fit no tile.
#include <algorithm>

#include "backend/backend_test_fixture.h"
#include "numbers/bf16.h"
#include "numbers/nvfp4.h"

namespace nibble {
namespace {

using test::kTolerance;
using test::random_values;

// A weight matrix in one kind, its source bytes (deliberately at an odd address), and the values
// that it stands for.
class Weight {
 public:
  Weight(MatrixKind kind, size_t rows, size_t cols, uint32_t seed) : rows_(rows), cols_(cols) {
    const std::vector<float> raw = random_values(rows * cols, seed, 0.1f);
    if (kind == MatrixKind::kNvfp4) {
      quantize(raw);
    } else {
      store(kind, raw);
    }
  }
  MatrixSource source() const {
    if (!quantized_.codes.empty() || plain_.empty()) return quantized_.view();
    TensorView view;
    view.dtype = dtype_;
    view.shape = {rows_, cols_};
    view.bytes = std::span<const std::byte>(plain_).subspan(1);
    return view;
  }
  const std::vector<float>& values() const { return values_; }

 private:
  void store(MatrixKind kind, const std::vector<float>& raw) {
    dtype_ = kind == MatrixKind::kF32    ? DType::kF32
             : kind == MatrixKind::kBF16 ? DType::kBF16
                                         : DType::kF16;
    const size_t unit = dtype_bytes(dtype_);
    plain_.resize(1 + raw.size() * unit);
    for (size_t i = 0; i < raw.size(); ++i) {
      const uint16_t half = kind == MatrixKind::kBF16 ? f32_to_bf16(raw[i]) : f32_to_f16(raw[i]);
      const void* bytes = kind == MatrixKind::kF32 ? static_cast<const void*>(&raw[i]) : &half;
      std::memcpy(plain_.data() + 1 + i * unit, bytes, unit);
      values_.push_back(kind == MatrixKind::kF32    ? raw[i]
                        : kind == MatrixKind::kBF16 ? bf16_to_f32(half)
                                                    : f16_to_f32(half));
    }
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

  size_t rows_;
  size_t cols_;
  DType dtype_ = DType::kF32;
  std::vector<std::byte> plain_;
  QuantizedMatrix quantized_;
  std::vector<float> values_;
};

constexpr MatrixKind kKinds[] = {MatrixKind::kF32, MatrixKind::kBF16, MatrixKind::kF16,
                                 MatrixKind::kNvfp4};

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
    const size_t odd = kind == MatrixKind::kNvfp4 ? 16 : 1;
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
  const size_t cols = 96;
  const size_t rows[] = {70, 0, 1, 33};
  for (const size_t n_tokens : {1, 6, 50}) {
    const auto x = random_values(n_tokens * cols, 3);
    std::vector<Weight> weights;
    std::vector<std::unique_ptr<Matrix>> matrices;
    std::vector<std::vector<float>> outs;
    for (size_t i = 0; i < 4; ++i) {
      weights.emplace_back(kKinds[i], rows[i], cols, static_cast<uint32_t>(i));
      outs.emplace_back(n_tokens * rows[i]);
    }
    std::vector<Projection> projections;
    for (size_t i = 0; i < 4; ++i) {
      matrices.push_back(std::move(backend().load_matrix(weights[i].source())).value());
      projections.push_back({matrices[i].get(), outs[i].data()});
    }
    backend().matmul(x.data(), n_tokens, projections);
    for (size_t i = 0; i < 4; ++i) {
      test::expect_close(outs[i], product(weights[i].values(), rows[i], cols, x, n_tokens),
                         kTolerance.matmul, "product " + std::to_string(i));
    }
  }
}

TEST_P(Matmul, EmbedDecodesRowsExactly) {
  for (const MatrixKind kind : kKinds) {
    const size_t cols = kind == MatrixKind::kNvfp4 ? 80 : 77;
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

TEST_P(Matmul, RefusesWhatItCannotTake) {
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
