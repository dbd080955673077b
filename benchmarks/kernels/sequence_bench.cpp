// The ops that look along the sequence: attention and both forms of the delta rule, per
// implementation, for the head shapes of a 14M model.
#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "backend/cpu/implementations.h"
#include "backend/cpu/scratch.h"
#include "benchmarks/kernels/bench_backend.h"

namespace nibble {
namespace {

constexpr auto kRate = benchmark::Counter::kIsIterationInvariantRate;

void run_attention(benchmark::State& state, const std::string& implementation) {
  const auto n_tokens = static_cast<size_t>(state.range(0));
  const auto first = static_cast<size_t>(state.range(1));
  const auto backend = bench::make_backend(implementation, 1);
  const size_t n_heads = 2, dim = 256, capacity = first + n_tokens;
  const std::vector<float> q(n_tokens * n_heads * 2 * dim, 0.1f);
  const std::vector<float> cache(capacity * dim, 0.2f);
  std::vector<float> out(n_tokens * n_heads * dim);
  AttentionArgs args{};
  args.q = q.data();
  args.q_token_stride = n_heads * 2 * dim;
  args.q_head_stride = 2 * dim;
  args.k_cache = args.v_cache = cache.data();
  args.cache_capacity = capacity;
  args.first_position = first;
  args.n_tokens = n_tokens;
  args.n_heads = n_heads;
  args.n_kv_heads = 1;
  args.head_dim = dim;
  args.scale = 0.0625f;
  args.gate = q.data() + dim;
  args.out = out.data();
  for (auto _ : state) backend->attention(args);
  const size_t pairs = n_tokens * first + n_tokens * (n_tokens + 1) / 2;
  state.counters["GFLOP/s"] =
      benchmark::Counter(4e-9 * static_cast<double>(pairs * n_heads * dim), kRate);
}

void run_delta_rule(benchmark::State& state, const std::string& implementation, bool chunked) {
  const auto n_tokens = static_cast<size_t>(state.range(0));
  const DeltaRuleKernels& kernels =
      (*choose_cpu_implementation(implementation).value()).kernels().delta_rule;
  const size_t dim = 128;
  const std::vector<float> qkv(n_tokens * 3 * dim, 0.3f);
  const std::vector<float> decay(n_tokens, -0.1f);
  const std::vector<float> beta(n_tokens, 0.5f);
  std::vector<float> s(dim * dim, 0.0f);
  std::vector<float> out(n_tokens * dim);
  DeltaRuleArgs args{};
  args.q = qkv.data();
  args.k = qkv.data() + dim;
  args.v = qkv.data() + 2 * dim;
  args.token_stride = 3 * dim;
  args.decay = decay.data();
  args.beta = beta.data();
  args.n_tokens = n_tokens;
  args.n_key_heads = args.n_value_heads = 1;
  args.key_dim = args.value_dim = dim;
  args.l2_eps = 1e-6f;
  args.state = s.data();
  args.out = out.data();
  Scratch scratch;
  float* floats = scratch.floats(chunked ? kernels.chunked_scratch_floats(args)
                                         : kernels.recurrent_scratch_floats(args));
  const size_t tile = chunked ? kernels.chunked_columns : kernels.recurrent_columns;
  for (auto _ : state) {
    for (size_t j = 0; j < dim; j += tile) {
      (chunked ? kernels.chunked : kernels.recurrent)(args, {0, {j, j + tile}}, floats);
    }
  }
  state.counters["tokens/s"] = benchmark::Counter(static_cast<double>(n_tokens), kRate);
}

void register_all() {
  for (const std::string& implementation : bench::supported_implementations()) {
    benchmark::RegisterBenchmark(
        ("attention/" + implementation).c_str(),
        [=](benchmark::State& state) { run_attention(state, implementation); })
        ->ArgNames({"tokens", "first"})
        ->ArgsProduct({{1, 4, 8, 16, 64, 512}, {0, 4096}});
    for (const bool chunked : {false, true}) {
      const std::string form = chunked ? "/chunked" : "/recurrent";
      benchmark::RegisterBenchmark(
          ("delta_rule/" + implementation + form).c_str(),
          [=](benchmark::State& state) { run_delta_rule(state, implementation, chunked); })
          ->ArgName("tokens")
          ->Arg(1)
          ->Arg(64)
          ->Arg(512);
    }
  }
}

const bool kRegistered = (register_all(), true);

}  // namespace
}  // namespace nibble
