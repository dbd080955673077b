// The ops of layers of experts: worked examples, every implementation against the reference on
// awkward numbers of tokens, experts and columns, and the same bits for any number of threads.
#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "backend/backend_test_fixture.h"
#include "numbers/bf16.h"

namespace nibble {
namespace {

using test::expect_close;
using test::kTolerance;
using test::random_values;

class Experts : public test::EveryImplementation {};

// How a batch of tokens meets a layer of experts.
struct Routing {
  size_t n_tokens;
  size_t n_experts;
  size_t n_selected;
  std::vector<int32_t> experts, first_row, row;
  std::vector<float> weights;

  Routing(Backend& backend, const std::vector<float>& logits, size_t tokens, size_t all,
          size_t selected)
      : n_tokens(tokens),
        n_experts(all),
        n_selected(selected),
        experts(tokens * selected, -1),
        first_row(all + 1, -1),
        row(tokens * selected, -1),
        weights(tokens * selected, -1.0f) {
    backend.select_experts({logits.data(), tokens, all, selected, experts.data(), weights.data()});
  }

  std::vector<float> dispatch(Backend& backend, const std::vector<float>& x, size_t dim) {
    std::vector<float> rows(n_tokens * n_selected * dim, -7.0f);
    backend.dispatch_to_experts({x.data(), experts.data(), n_tokens, n_experts, n_selected, dim,
                                 first_row.data(), row.data(), rows.data()});
    return rows;
  }
};

// The same matrix for each expert but for its values, as BF16 or NVFP4.
struct ExpertWeights {
  std::vector<std::vector<uint16_t>> plain;
  std::vector<QuantizedMatrix> quantized;
  std::vector<MatrixSource> sources;

  ExpertWeights(bool nvfp4, size_t n_experts, size_t rows, size_t cols, uint32_t seed) {
    std::mt19937 engine(seed);
    plain.resize(n_experts);
    quantized.resize(n_experts);
    for (size_t e = 0; e < n_experts; ++e) {
      if (nvfp4) {
        QuantizedMatrix& matrix = quantized[e];
        matrix.rows = rows;
        matrix.cols = cols;
        matrix.tensor_scale = 0.001f * static_cast<float>(e + 1);
        for (size_t i = 0; i < rows * cols / 2; ++i) {
          matrix.codes.push_back(static_cast<uint8_t>(engine()));
        }
        for (size_t i = 0; i < rows * cols / 16; ++i) {
          matrix.scales.push_back(static_cast<uint8_t>(0x28 + engine() % 16));
        }
        sources.emplace_back(matrix.view());
      } else {
        for (const float value : random_values(rows * cols, seed + static_cast<uint32_t>(e))) {
          plain[e].push_back(f32_to_bf16(value));
        }
        sources.emplace_back(
            TensorView{DType::kBF16, {rows, cols}, std::as_bytes(std::span(plain[e]))});
      }
    }
  }

  std::vector<std::unique_ptr<Matrix>> load(Backend& backend) const {
    std::vector<std::unique_ptr<Matrix>> matrices;
    for (const MatrixSource& source : sources) {
      matrices.push_back(backend.load_matrix(source).value());
    }
    return matrices;
  }
};

TEST_P(Experts, SelectsTheLargestAndWeighsThem) {
  const std::vector<float> logits = {1.0f, 3.0f, -2.0f, 3.0f, 2.0f,  //
                                     0.0f, 0.0f, 0.0f,  0.0f, 0.0f,  //
                                     5.0f, 4.0f, 3.0f,  2.0f, 100.0f};
  const Routing routing(backend(), logits, 3, 5, 3);
  EXPECT_EQ(routing.experts, (std::vector<int32_t>{1, 3, 4, 0, 1, 2, 4, 0, 1}));
  const double third = 1.0 / (2.0 + std::exp(-1.0));
  EXPECT_NEAR(routing.weights[0], third, 1e-6);
  EXPECT_NEAR(routing.weights[1], third, 1e-6);
  EXPECT_NEAR(routing.weights[2], std::exp(-1.0) * third, 1e-6);
  for (size_t s = 3; s < 6; ++s) EXPECT_NEAR(routing.weights[s], 1.0 / 3.0, 1e-7);
  EXPECT_EQ(routing.weights[6], 1.0f);
  EXPECT_LT(routing.weights[8], 1e-30f);
}

// Softmax over all experts, the selected ones then scaled to sum 1, in double.
TEST_P(Experts, WeightsAreTheRenormalizedSoftmax) {
  for (const size_t n_experts : {1, 2, 7, 64, 257}) {
    for (const size_t n_selected : {size_t{1}, std::min<size_t>(3, n_experts), n_experts}) {
      const size_t n_tokens = 33;
      const auto logits = random_values(n_tokens * n_experts, 5, 4.0f);
      const Routing routing(backend(), logits, n_tokens, n_experts, n_selected);
      for (size_t t = 0; t < n_tokens; ++t) {
        std::vector<size_t> order(n_experts);
        for (size_t e = 0; e < n_experts; ++e) order[e] = e;
        const float* row = logits.data() + t * n_experts;
        std::stable_sort(order.begin(), order.end(),
                         [&](size_t a, size_t b) { return row[a] > row[b]; });
        double sum = 0.0;
        for (size_t s = 0; s < n_selected; ++s) sum += std::exp(static_cast<double>(row[order[s]]));
        for (size_t s = 0; s < n_selected; ++s) {
          ASSERT_EQ(routing.experts[t * n_selected + s], static_cast<int32_t>(order[s]));
          ASSERT_NEAR(routing.weights[t * n_selected + s],
                      std::exp(static_cast<double>(row[order[s]])) / sum, 1e-6);
        }
      }
    }
  }
}

// Whatever comes out of a broken layer, experts are numbers of experts.
TEST_P(Experts, NotANumberStaysInRange) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  const std::vector<float> logits = {nan,  nan, nan,      nan,      nan, 1.0f, 2.0f,      nan,
                                     1.0f, nan, infinity, infinity, nan, nan,  -infinity, 0.0f};
  const Routing routing(backend(), logits, 4, 4, 3);
  for (size_t t = 0; t < 4; ++t) {
    std::vector<int32_t> chosen(routing.experts.begin() + static_cast<ptrdiff_t>(t * 3),
                                routing.experts.begin() + static_cast<ptrdiff_t>(t * 3 + 3));
    std::sort(chosen.begin(), chosen.end());
    EXPECT_EQ(std::unique(chosen.begin(), chosen.end()), chosen.end());
    EXPECT_GE(chosen.front(), 0);
    EXPECT_LT(chosen.back(), 4);
  }
}

TEST_P(Experts, DispatchGroupsTokensByExpertInOrder) {
  for (const size_t n_tokens : {0, 1, 2, 37, 300}) {
    for (const auto& [n_experts, n_selected] :
         {std::pair<size_t, size_t>{1, 1}, {2, 1}, {5, 5}, {8, 2}, {64, 3}}) {
      const size_t dim = 19;
      const auto x = random_values(n_tokens * dim, 3);
      Routing routing(backend(), random_values(n_tokens * n_experts, 4), n_tokens, n_experts,
                      n_selected);
      const auto rows = routing.dispatch(backend(), x, dim);
      size_t at = 0;
      for (size_t e = 0; e < n_experts; ++e) {
        ASSERT_EQ(routing.first_row[e], static_cast<int32_t>(at));
        for (size_t i = 0; i < n_tokens * n_selected; ++i) {
          if (routing.experts[i] != static_cast<int32_t>(e)) continue;
          ASSERT_EQ(routing.row[i], static_cast<int32_t>(at));
          const size_t t = i / n_selected;
          ASSERT_TRUE(std::equal(x.begin() + static_cast<ptrdiff_t>(t * dim),
                                 x.begin() + static_cast<ptrdiff_t>((t + 1) * dim),
                                 rows.begin() + static_cast<ptrdiff_t>(at * dim)));
          ++at;
        }
      }
      ASSERT_EQ(routing.first_row[n_experts], static_cast<int32_t>(at));
      ASSERT_EQ(at, n_tokens * n_selected);
    }
  }
}

// Few tokens and many, so that some experts get none, some a handful and some hundreds.
TEST_P(Experts, ProductsEqualThoseOfTheReference) {
  struct Case {
    size_t n_tokens, n_experts, n_selected, rows, cols;
    bool nvfp4;
  };
  for (const Case& c :
       {Case{0, 4, 2, 8, 16, false}, Case{1, 8, 2, 33, 48, true}, Case{1, 1, 1, 1, 1, false},
        Case{7, 64, 3, 17, 23, false}, Case{90, 5, 2, 70, 37, false}, Case{90, 5, 5, 40, 80, true},
        Case{150, 16, 1, 129, 64, true}}) {
    const size_t n_rows = c.n_tokens * c.n_selected;
    const auto x = random_values(c.n_tokens * c.cols, 1);
    auto logits = random_values(c.n_tokens * c.n_experts, 2);
    for (size_t t = 0; t < c.n_tokens; ++t) logits[t * c.n_experts] += 1.0f;  // a favourite
    Routing routing(reference(), logits, c.n_tokens, c.n_experts, c.n_selected);
    const auto rows = routing.dispatch(reference(), x, c.cols);
    const ExpertWeights up(c.nvfp4, c.n_experts, c.rows, c.cols, 10);
    const ExpertWeights gate(c.nvfp4, c.n_experts, c.rows + 3, c.cols, 50);
    const auto run = [&](Backend& on) {
      const auto up_matrices = up.load(on);
      const auto gate_matrices = gate.load(on);
      std::vector<float> out(n_rows * (2 * c.rows + 3), -3.0f);
      const ExpertProjection outs[] = {{up_matrices, out.data()},
                                       {gate_matrices, out.data() + n_rows * c.rows}};
      on.expert_matmul({rows.data(), routing.first_row.data(), n_rows, outs});
      return out;
    };
    const auto expected = run(reference());
    const std::string what =
        std::to_string(c.n_tokens) + " tokens, " + std::to_string(c.n_experts) + " experts";
    expect_close(run(backend()), expected, kTolerance.matmul, what);
    for (const size_t n_threads : {1, 3, 8}) {
      EXPECT_EQ(run(*test::make_backend(GetParam(), n_threads)), run(backend())) << what;
    }
    // Row by row it is an ordinary product.
    const auto matrices = up.load(reference());
    for (size_t e = 0; e < c.n_experts; ++e) {
      const auto first = static_cast<size_t>(routing.first_row[e]);
      const size_t n = static_cast<size_t>(routing.first_row[e + 1]) - first;
      std::vector<float> alone(n * c.rows);
      const Projection one[] = {{matrices[e].get(), alone.data()}};
      reference().matmul(rows.data() + first * c.cols, n, one);
      ASSERT_TRUE(std::equal(alone.begin(), alone.end(),
                             expected.begin() + static_cast<ptrdiff_t>(first * c.rows)));
    }
  }
}

TEST_P(Experts, CombineAddsWeightedRowsAndTheSharedExpert) {
  const std::vector<float> y = {1.0f, 2.0f, 10.0f, 20.0f, 100.0f, 200.0f, 1000.0f, 2000.0f};
  const std::vector<int32_t> row = {2, 0, 3, 1};
  const std::vector<float> weights = {0.75f, 0.25f, 0.5f, 0.5f};
  const std::vector<float> shared = {4.0f, 8.0f, 16.0f, 32.0f};
  const std::vector<float> gate = {0.0f, -200.0f};
  std::vector<float> out = {0.5f, 0.5f, 0.5f, 0.5f};
  backend().combine_experts(
      {y.data(), row.data(), weights.data(), shared.data(), gate.data(), 2, 2, 2, out.data()});
  expect_close(out, {0.5f + 75.0f + 0.25f + 2.0f, 0.5f + 150.0f + 0.5f + 4.0f, 505.5f, 1010.5f},
               1e-6f, "worked example");

  for (const size_t dim : {1, 15, 64, 515}) {
    for (const std::pair<size_t, size_t>& sizes :
         {std::pair<size_t, size_t>{0, 2}, {1, 1}, {41, 8}, {200, 3}}) {
      const size_t n_tokens = sizes.first;
      const size_t n_selected = sizes.second;
      const size_t n_experts = 9;
      const auto x = random_values(n_tokens * dim, 1);
      Routing routing(reference(), random_values(n_tokens * n_experts, 2), n_tokens, n_experts,
                      n_selected);
      const auto rows = routing.dispatch(reference(), x, dim);
      const auto common = random_values(n_tokens * dim, 3);
      const auto open = random_values(n_tokens, 4, 3.0f);
      const auto before = random_values(n_tokens * dim, 5);
      const auto run = [&](Backend& on) {
        std::vector<float> sum = before;
        on.combine_experts({rows.data(), routing.row.data(), routing.weights.data(), common.data(),
                            open.data(), n_tokens, n_selected, dim, sum.data()});
        return sum;
      };
      expect_close(run(backend()), run(reference()), kTolerance.elementwise,
                   "dim " + std::to_string(dim));
      EXPECT_EQ(run(*test::make_backend(GetParam(), 5)), run(backend()));
    }
  }
}

INSTANTIATE_FOR_EVERY_IMPLEMENTATION(Experts);

}  // namespace
}  // namespace nibble
