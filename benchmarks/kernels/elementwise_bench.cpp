// Norms, SwiGLU, rotary embedding, convolution and gates: nanoseconds per token for the widths of a
// 14M model, per implementation.
#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "backend/backend.h"
#include "benchmarks/kernels/bench_backend.h"

namespace nibble {
namespace {

constexpr size_t kTokens = 512;

template <typename Op>
void run(benchmark::State& state, const std::string& implementation, size_t n_values, Op op) {
  const auto backend = bench::make_backend(implementation, 1);
  const std::vector<float> x(kTokens * n_values, 0.7f);
  const std::vector<float> weight(n_values * 4, 0.5f);
  std::vector<float> out(kTokens * n_values);
  for (auto _ : state) {
    op(*backend, x, weight, out);
    benchmark::DoNotOptimize(out.data());
  }
  state.counters["values/s"] = benchmark::Counter(static_cast<double>(kTokens * n_values),
                                                  benchmark::Counter::kIsIterationInvariantRate);
}

using Values = std::vector<float>;

void register_all() {
  for (const std::string& name : bench::supported_implementations()) {
    benchmark::RegisterBenchmark(("rms_norm/" + name).c_str(), [=](benchmark::State& state) {
      run(state, name, 256, [](Backend& b, const Values& x, const Values& w, Values& out) {
        b.rms_norm({x.data(), kTokens, 256}, w.data(), 256, 1e-6f, {out.data(), kTokens, 256});
      });
    });
    benchmark::RegisterBenchmark(("gated_rms_norm/" + name).c_str(), [=](benchmark::State& state) {
      run(state, name, 512, [](Backend& b, const Values& x, const Values& w, Values& out) {
        b.gated_rms_norm(x.data(), x.data(), w.data(), kTokens * 4, 128, 1e-6f, out.data());
      });
    });
    benchmark::RegisterBenchmark(("swiglu/" + name).c_str(), [=](benchmark::State& state) {
      run(state, name, 768, [](Backend& b, const Values& x, const Values&, Values& out) {
        b.swiglu(x.data(), x.data(), x.size(), out.data());
      });
    });
    benchmark::RegisterBenchmark(("conv/" + name).c_str(), [=](benchmark::State& state) {
      Values conv_state(3 * 1024, 0.0f);
      run(state, name, 1024, [&](Backend& b, const Values& x, const Values& w, Values& out) {
        b.causal_conv_silu({x.data(), w.data(), conv_state.data(), kTokens, 1024, 4, out.data()});
      });
    });
    benchmark::RegisterBenchmark(("rope/" + name).c_str(), [=](benchmark::State& state) {
      run(state, name, 512, [](Backend& b, const Values&, const Values& w, Values& out) {
        b.rope({out.data(), kTokens, 2, 512, 256, 64, w.data(), 100});
      });
    });
    benchmark::RegisterBenchmark(("gates/" + name).c_str(), [=](benchmark::State& state) {
      run(state, name, 4, [](Backend& b, const Values& x, const Values& w, Values& out) {
        Values beta(out.size());
        b.delta_gates(
            {x.data(), x.data(), w.data(), w.data(), kTokens, 4, out.data(), beta.data()});
      });
    });
  }
}

const bool kRegistered = (register_all(), true);

}  // namespace
}  // namespace nibble
