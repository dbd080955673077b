// Norms, SwiGLU, rotary embedding, the short convolution and the gates: worked examples against the
// reference, every implementation against the reference on awkward shapes.
#include "backend/backend_test_fixture.h"

namespace nibble {
namespace {

using test::expect_close;
using test::kTolerance;
using test::random_values;

class Elementwise : public test::EveryImplementation {};

TEST_P(Elementwise, WorkedExamples) {
  const std::vector<float> x = {1.0f, -2.0f, 3.0f, 0.5f};
  std::vector<float> out(4);
  const std::vector<float> one_plus = {1.1f, 0.9f, 1.0f, 0.5f};
  backend().rms_norm({x.data(), 1, 4}, one_plus.data(), 4, 1e-6f, {out.data(), 1, 4});
  expect_close(out, {0.5827942f, -0.9536632f, 1.5894386f, 0.1324532f}, 1e-6f, "norm");

  const std::vector<float> gate = {0.5f, 1.0f, -1.0f, 2.0f};
  backend().gated_rms_norm(x.data(), gate.data(), one_plus.data(), 1, 4, 1e-6f, out.data());
  expect_close(out, {0.1813828f, -0.6971836f, -0.4274659f, 0.2333288f}, 1e-6f, "gated norm");

  const std::vector<float> u = {1.0f, 2.0f, -1.0f, 0.5f, 3.0f};
  const std::vector<float> w = {0.1f, 0.2f, 0.3f, 0.4f};
  std::vector<float> state(3, 0.0f);
  std::vector<float> y(5);
  backend().causal_conv_silu({u.data(), w.data(), state.data(), 5, 1, 4, y.data()});
  expect_close(y, {0.239475f, 0.825286f, 0.239475f, 0.239475f, 1.072075f}, 1e-6f, "convolution");
  expect_close(state, {-1.0f, 0.5f, 3.0f}, 0.0f, "convolution state");

  const std::vector<float> a = {0.3f, 25.0f};
  const std::vector<float> b = {0.2f, 0.2f};
  const float a_log = 0.5f;
  const float dt_bias = -1.0f;
  std::vector<float> decay(2);
  std::vector<float> beta(2);
  backend().delta_gates({a.data(), b.data(), &a_log, &dt_bias, 2, 1, decay.data(), beta.data()});
  EXPECT_NEAR(decay[0], -0.66474141f, 1e-7f);
  EXPECT_NEAR(decay[1], -39.56931050f, 4e-6f);
  EXPECT_NEAR(beta[0], 0.549833997f, 1e-7f);
}

TEST_P(Elementwise, RmsNormOfStridedRows) {
  for (const size_t dim : {1, 3, 16, 33, 128, 257, 4096}) {
    for (const size_t n_rows : {0, 1, 2, 37}) {
      const size_t stride = dim + 5;
      const auto x = random_values(n_rows * stride, 1, 3.0f);
      const auto weight = random_values(dim, 2);
      std::vector<float> expected(n_rows * dim);
      std::vector<float> found(n_rows * dim);
      reference().rms_norm({x.data(), n_rows, stride}, weight.data(), dim, 1e-6f,
                           {expected.data(), n_rows, dim});
      backend().rms_norm({x.data(), n_rows, stride}, weight.data(), dim, 1e-6f,
                         {found.data(), n_rows, dim});
      expect_close(found, expected, kTolerance.norm, "dim " + std::to_string(dim));

      std::vector<float> in_place = x;
      backend().rms_norm({in_place.data(), n_rows, stride}, weight.data(), dim, 1e-6f,
                         {in_place.data(), n_rows, stride});
      for (size_t r = 0; r < n_rows; ++r) {
        for (size_t i = 0; i < stride; ++i) {
          const float left = i < dim ? found[r * dim + i] : x[r * stride + i];
          ASSERT_EQ(in_place[r * stride + i], left);
        }
      }
    }
  }
}

TEST_P(Elementwise, GatedRmsNorm) {
  for (const size_t dim : {1, 15, 16, 31, 128, 130}) {
    for (const size_t n_rows : {0, 1, 9, 300}) {
      const auto x = random_values(n_rows * dim, 1);
      const auto gate = random_values(n_rows * dim, 2, 20.0f);
      const auto weight = random_values(dim, 3);
      std::vector<float> expected(n_rows * dim);
      reference().gated_rms_norm(x.data(), gate.data(), weight.data(), n_rows, dim, 1e-6f,
                                 expected.data());
      std::vector<float> found = x;
      backend().gated_rms_norm(found.data(), gate.data(), weight.data(), n_rows, dim, 1e-6f,
                               found.data());
      expect_close(found, expected, kTolerance.norm, "dim " + std::to_string(dim));
    }
  }
}

TEST_P(Elementwise, SwigluAndItsExtremes) {
  for (const size_t n : {0, 1, 7, 16, 17, 100, 70000}) {
    auto gate = random_values(n, 1, 8.0f);
    const auto up = random_values(n, 2);
    std::vector<float> expected(n);
    std::vector<float> found(n);
    reference().swiglu(gate.data(), up.data(), n, expected.data());
    backend().swiglu(gate.data(), up.data(), n, found.data());
    expect_close(found, expected, kTolerance.elementwise, "n " + std::to_string(n));
    backend().swiglu(gate.data(), up.data(), n, gate.data());
    EXPECT_EQ(gate, found);
  }
  // Where exp overflows, underflows or is subnormal.
  const std::vector<float> gate = {-200.0f, -103.0f, -95.0f, -89.0f, -87.0f, -1e-30f, 0.0f,
                                   1e-30f,  20.0f,   88.0f,  89.0f,  104.0f, 1e30f,   -1e30f};
  const std::vector<float> up(gate.size(), 1.0f);
  std::vector<float> expected(gate.size());
  std::vector<float> found(gate.size());
  reference().swiglu(gate.data(), up.data(), gate.size(), expected.data());
  backend().swiglu(gate.data(), up.data(), gate.size(), found.data());
  for (size_t i = 0; i < gate.size(); ++i) {
    EXPECT_NEAR(found[i], expected[i], 4e-7f * std::fabs(expected[i]) + 1e-37f) << gate[i];
  }
}

TEST_P(Elementwise, RopeRotatesTheFirstDimensionsOnly) {
  for (const size_t rotary : {0, 2, 10, 32, 64}) {
    for (const size_t first : {size_t{0}, size_t{5}, size_t{100000}}) {
      const size_t n_tokens = 7, n_heads = 3, head_stride = 70, token_stride = 3 * 70 + 3;
      std::vector<float> inv_freq(rotary / 2);
      for (size_t i = 0; i < inv_freq.size(); ++i) {
        inv_freq[i] = std::pow(1e7f, -2.0f * static_cast<float>(i) / static_cast<float>(rotary));
      }
      const auto x = random_values(n_tokens * token_stride, 4);
      std::vector<float> expected = x;
      std::vector<float> found = x;
      RopeArgs args{expected.data(), n_tokens, n_heads,         token_stride,
                    head_stride,     rotary,   inv_freq.data(), first};
      reference().rope(args);
      args.x = found.data();
      backend().rope(args);
      expect_close(found, expected, kTolerance.elementwise, "rotary " + std::to_string(rotary));
      for (size_t i = 0; i < x.size(); ++i) {
        const size_t in_token = i % token_stride;
        if (in_token >= n_heads * head_stride || in_token % head_stride >= rotary) {
          ASSERT_EQ(found[i], x[i]);
        }
      }
    }
  }
}

TEST_P(Elementwise, ConvolutionInPiecesEqualsOnePass) {
  for (const size_t kernel : {1, 2, 4, 5}) {
    for (const size_t n_channels : {1, 16, 17, 100, 1024}) {
      const size_t n_tokens = 21;
      const auto x = random_values(n_tokens * n_channels, 1);
      const auto weight = random_values(n_channels * kernel, 2);
      const auto start = random_values((kernel - 1) * n_channels, 3);
      std::vector<float> expected(x.size());
      auto expected_state = start;
      reference().causal_conv_silu({x.data(), weight.data(), expected_state.data(), n_tokens,
                                    n_channels, kernel, expected.data()});
      std::vector<float> found(x.size());
      auto state = start;
      size_t done = 0;
      for (const size_t piece : {1, 2, 0, 3, 11, 1, 3}) {
        backend().causal_conv_silu({x.data() + done * n_channels, weight.data(), state.data(),
                                    piece, n_channels, kernel, found.data() + done * n_channels});
        done += piece;
      }
      ASSERT_EQ(done, n_tokens);
      const std::string what = std::to_string(kernel) + " x " + std::to_string(n_channels);
      expect_close(found, expected, kTolerance.elementwise, what);
      EXPECT_EQ(state, expected_state) << what;
    }
  }
}

TEST_P(Elementwise, DeltaGates) {
  for (const size_t n_tokens : {0, 1, 5, 200}) {
    for (const size_t n_heads : {1, 4, 17, 32}) {
      const size_t n = n_tokens * n_heads;
      const auto a = random_values(n, 1, 15.0f);
      const auto b = random_values(n, 2, 15.0f);
      const auto a_log = random_values(n_heads, 3);
      const auto dt_bias = random_values(n_heads, 4);
      std::vector<float> expected_decay(n), expected_beta(n), decay(n), beta(n);
      reference().delta_gates({a.data(), b.data(), a_log.data(), dt_bias.data(), n_tokens, n_heads,
                               expected_decay.data(), expected_beta.data()});
      backend().delta_gates({a.data(), b.data(), a_log.data(), dt_bias.data(), n_tokens, n_heads,
                             decay.data(), beta.data()});
      for (size_t i = 0; i < n; ++i) {
        ASSERT_NEAR(decay[i], expected_decay[i], 1e-6f * std::fabs(expected_decay[i]) + 1e-37f);
        ASSERT_NEAR(beta[i], expected_beta[i], 1e-6f * expected_beta[i] + 1e-37f);
      }
    }
  }
}

INSTANTIATE_FOR_EVERY_IMPLEMENTATION(Elementwise);

}  // namespace
}  // namespace nibble
