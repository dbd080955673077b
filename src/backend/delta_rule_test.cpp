// The gated delta rule: the worked example, both forms of every implementation against the
// recurrence in double, hard gates, repeated keys, and sequences cut into pieces.
#include "backend/backend_test_fixture.h"
#include "backend/cpu/implementations.h"
#include "backend/cpu/scratch.h"

namespace nibble {
namespace {

using test::expect_close;
using test::kTolerance;
using test::random_values;

// Inputs, and room for outputs, of one call.
struct Problem {
  size_t n_tokens, n_key_heads, n_value_heads, key_dim, value_dim;
  size_t stride;
  bool tiles_value_heads = false;
  std::vector<float> qkv, decay, beta, state, out;

  Problem(size_t tokens, size_t key_heads, size_t value_heads, size_t dk, size_t dv)
      : n_tokens(tokens),
        n_key_heads(key_heads),
        n_value_heads(value_heads),
        key_dim(dk),
        value_dim(dv),
        stride(2 * key_heads * dk + value_heads * dv),
        qkv(random_values(tokens * stride, 11)),
        decay(random_values(tokens * value_heads, 12)),
        beta(random_values(tokens * value_heads, 13)),
        state(random_values(value_heads * dk * dv, 14, 0.3f)),
        out(tokens * value_heads * dv) {
    for (float& g : decay) g = -0.3f * std::fabs(g);
    for (float& b : beta) b = 1.0f / (1.0f + std::exp(-b));
  }

  DeltaRuleArgs args(size_t first = 0, size_t count = SIZE_MAX) {
    DeltaRuleArgs a{};
    const float* row = qkv.data() + first * stride;
    a.q = row;
    const size_t key_size = n_tokens == 0 ? 0 : n_key_heads * key_dim;  // nothing to point into
    a.k = row + key_size;
    a.v = row + 2 * key_size;
    a.token_stride = stride;
    a.decay = decay.data() + first * n_value_heads;
    a.beta = beta.data() + first * n_value_heads;
    a.n_tokens = std::min(count, n_tokens - first);
    a.n_key_heads = n_key_heads;
    a.n_value_heads = n_value_heads;
    a.tiles_value_heads = tiles_value_heads;
    a.key_dim = key_dim;
    a.value_dim = value_dim;
    a.l2_eps = 1e-6f;
    a.state = state.data();
    a.out = out.data() + first * n_value_heads * value_dim;
    return a;
  }
};

// The recurrence of one head, everything in double.
void define_head(const DeltaRuleArgs& args, size_t head, std::vector<double>& state, float* out) {
  const size_t dk = args.key_dim, dv = args.value_dim;
  const size_t n_heads_each = args.n_value_heads / args.n_key_heads;
  const size_t key_head = args.tiles_value_heads ? head % args.n_key_heads : head / n_heads_each;
  for (size_t t = 0; t < args.n_tokens; ++t) {
    const float* q = args.q + t * args.token_stride + key_head * dk;
    const float* k = args.k + t * args.token_stride + key_head * dk;
    const float* v = args.v + t * args.token_stride + head * dv;
    double q2 = static_cast<double>(args.l2_eps), k2 = q2;
    for (size_t i = 0; i < dk; ++i) {
      q2 += static_cast<double>(q[i]) * static_cast<double>(q[i]);
      k2 += static_cast<double>(k[i]) * static_cast<double>(k[i]);
    }
    const double decay = std::exp(static_cast<double>(args.decay[t * args.n_value_heads + head]));
    const auto beta = static_cast<double>(args.beta[t * args.n_value_heads + head]);
    for (size_t j = 0; j < dv; ++j) {
      double prediction = 0.0, sum = 0.0;
      for (size_t i = 0; i < dk; ++i) {
        state[i * dv + j] *= decay;
        prediction += state[i * dv + j] * static_cast<double>(k[i]) / std::sqrt(k2);
      }
      const double delta = beta * (static_cast<double>(v[j]) - prediction);
      for (size_t i = 0; i < dk; ++i) {
        state[i * dv + j] += static_cast<double>(k[i]) / std::sqrt(k2) * delta;
        sum += state[i * dv + j] * static_cast<double>(q[i]);
      }
      out[(t * args.n_value_heads + head) * dv + j] =
          static_cast<float>(sum / std::sqrt(q2) / std::sqrt(static_cast<double>(dk)));
    }
  }
}

struct Expected {
  std::vector<float> out;
  std::vector<float> state;
};

Expected define(Problem& problem) {
  const DeltaRuleArgs args = problem.args();
  Expected expected;
  expected.out.resize(problem.out.size());
  const size_t size = args.key_dim * args.value_dim;
  for (size_t head = 0; head < args.n_value_heads; ++head) {
    const auto begin = problem.state.begin() + static_cast<ptrdiff_t>(head * size);
    std::vector<double> state(begin, begin + static_cast<ptrdiff_t>(size));
    define_head(args, head, state, expected.out.data());
    for (const double value : state) expected.state.push_back(static_cast<float>(value));
  }
  return expected;
}

// Runs one form directly, as CpuBackend does, whatever form it would choose.
void run_form(const std::string& implementation, bool chunked, const DeltaRuleArgs& args) {
  const auto chosen = choose_cpu_implementation(implementation);
  ASSERT_TRUE(chosen.has_value());
  const DeltaRuleKernels& kernels = (*chosen)->kernels().delta_rule;
  Scratch scratch;
  float* floats = scratch.floats(chunked ? kernels.chunked_scratch_floats(args)
                                         : kernels.recurrent_scratch_floats(args));
  const size_t tile = chunked ? kernels.chunked_columns : kernels.recurrent_columns;
  for (size_t head = 0; head < args.n_value_heads; ++head) {
    for (size_t j = 0; j < args.value_dim; j += tile) {
      const DeltaPart part{head, {j, std::min(args.value_dim, j + tile)}};
      (chunked ? kernels.chunked : kernels.recurrent)(args, part, floats);
    }
  }
}

class DeltaRule : public test::EveryImplementation {
 protected:
  void check(Problem problem, const std::string& what) {
    const Expected expected = define(problem);
    for (const bool chunked : {false, true}) {
      Problem copy = problem;
      run_form(GetParam(), chunked, copy.args());
      const std::string form = what + (chunked ? ", chunked" : ", recurrent");
      expect_close(copy.out, expected.out, kTolerance.delta_rule, form);
      expect_close(copy.state, expected.state, kTolerance.delta_rule, form + ", state");
    }
    backend().delta_rule(problem.args());
    expect_close(problem.out, expected.out, kTolerance.delta_rule, what);
    expect_close(problem.state, expected.state, kTolerance.delta_rule, what + ", state");
  }
};

TEST_P(DeltaRule, WorkedExample) {
  Problem problem(3, 1, 1, 2, 2);
  problem.qkv = {1.0f, 2.0f,  1.0f,  0.0f, 1.0f, -1.0f,  // q, k, v of each token
                 0.5f, -1.0f, 1.0f,  1.0f, 2.0f, 0.5f,   //
                 2.0f, 1.0f,  -1.0f, 2.0f, 0.0f, 3.0f};
  problem.decay = {-0.1f, -0.5f, -0.2f};
  problem.beta = {0.5f, 0.9f, 0.25f};
  problem.state.assign(4, 0.0f);
  backend().delta_rule(problem.args());
  expect_close(problem.out,
               {0.1581138f, -0.1581138f, -0.2634358f, -0.2396792f, 1.0396341f, 0.1961134f}, 1e-6f,
               "outputs");
  expect_close(problem.state, {1.2127373f, -0.1804255f, 0.8621373f, 0.9810161f}, 1e-6f, "state");
}

TEST_P(DeltaRule, LengthsAndShapes) {
  for (const size_t n_tokens : {0, 1, 2, 63, 64, 65, 200}) {
    const std::string what = std::to_string(n_tokens) + " tokens";
    check(Problem(n_tokens, 2, 4, 128, 128), what);
    check(Problem(n_tokens, 1, 3, 17, 37), what + ", odd heads");
    check(Problem(n_tokens, 1, 1, 1, 1), what + ", smallest");
    check(Problem(n_tokens, 1, 2, 64, 100), what + ", wide values");
  }
}

TEST_P(DeltaRule, TiledValueHeads) {
  for (const size_t n_tokens : {1, 65}) {
    Problem problem(n_tokens, 2, 6, 24, 40);
    problem.tiles_value_heads = true;
    check(problem, std::to_string(n_tokens) + " tokens");
  }
}

TEST_P(DeltaRule, StrongDecay) {
  for (const size_t n_tokens : {1, 64, 200}) {
    Problem problem(n_tokens, 1, 2, 32, 48);
    for (size_t i = 0; i < problem.decay.size(); ++i) {
      problem.decay[i] = i % 5 == 0 ? -50.0f : i % 7 == 0 ? -1000.0f : -0.01f;
    }
    check(problem, "decays to nothing now and then");
    for (float& g : problem.decay) g = -50.0f;
    check(problem, "forgets at once");
    for (float& g : problem.decay) g = 0.0f;
    check(problem, "never forgets");
  }
}

TEST_P(DeltaRule, RepeatedAndZeroKeys) {
  Problem problem(130, 1, 2, 32, 48);
  const size_t k_at = problem.key_dim;
  for (size_t t = 1; t < problem.n_tokens; ++t) {
    for (size_t i = 0; i < problem.key_dim; ++i) {
      problem.qkv[t * problem.stride + k_at + i] =
          t % 10 == 3 ? 0.0f : problem.qkv[(t % 2) * problem.stride + k_at + i];
    }
  }
  for (float& b : problem.beta) b = 1.0f;
  for (float& g : problem.decay) g = -1e-3f;
  check(problem, "repeated keys");
}

TEST_P(DeltaRule, PiecesEqualTheWhole) {
  Problem whole(170, 2, 4, 64, 64);
  Problem pieces = whole;
  backend().delta_rule(whole.args());
  size_t done = 0;
  for (const size_t piece : {1, 70, 3, 64, 0, 32}) {
    backend().delta_rule(pieces.args(done, piece));
    done += piece;
  }
  ASSERT_EQ(done, whole.n_tokens);
  expect_close(pieces.out, whole.out, kTolerance.delta_rule, "outputs");
  expect_close(pieces.state, whole.state, kTolerance.delta_rule, "state");
}

INSTANTIATE_FOR_EVERY_IMPLEMENTATION(DeltaRule);

}  // namespace
}  // namespace nibble
