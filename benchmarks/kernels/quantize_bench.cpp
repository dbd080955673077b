// Rounding on one thread: bytes of BF16 input a second for every implementation of the row kernels,
// from a matrix that lies in memory and not in the caches.
#include <benchmark/benchmark.h>

#include <random>
#include <string>
#include <vector>

#include "numbers/bf16.h"
#include "numbers/nvfp4.h"
#include "quantize/methods/isa/row_kernels.h"

namespace nibble {
namespace {

constexpr size_t kRows = 8192;
constexpr size_t kCols = 4096;
constexpr size_t kPieceBlocks = 128;  // as the methods widen them

const std::vector<uint16_t>& weights() {
  static const std::vector<uint16_t> words = [] {
    std::mt19937 engine(1);
    std::normal_distribution<float> normal(0.0f, 0.02f);
    std::vector<uint16_t> drawn(kRows * kCols);
    for (uint16_t& word : drawn) word = f32_to_bf16(normal(engine));
    return drawn;
  }();
  return words;
}

void run(benchmark::State& state, const RowKernels& kernels, RowKernel round, bool compares) {
  const std::vector<uint16_t>& words = weights();
  const float tensor_scale = nvfp4_tensor_scale(0.12f);
  std::vector<uint8_t> codes(words.size() / 2);
  std::vector<uint8_t> scales(words.size() / kNvfp4BlockSize, kE4m3One);
  std::vector<float> piece(kPieceBlocks * kNvfp4BlockSize);
  for (auto _ : state) {
    for (size_t b = 0; b < scales.size(); b += kPieceBlocks) {
      const auto* stored = reinterpret_cast<const std::byte*>(words.data() + b * kNvfp4BlockSize);
      kernels.widen_bf16(stored, piece.size(), piece.data());
      uint8_t* piece_codes = codes.data() + b * kNvfp4BlockBytes;
      if (round != nullptr) {
        round(piece.data(), kPieceBlocks, tensor_scale, piece_codes, scales.data() + b);
      }
      if (compares) {
        benchmark::DoNotOptimize(kernels.compare(piece.data(), kPieceBlocks, piece_codes,
                                                 scales.data() + b, tensor_scale));
      }
    }
    benchmark::ClobberMemory();
  }
  state.counters["GB/s"] = benchmark::Counter(static_cast<double>(2 * words.size()) * 1e-9,
                                              benchmark::Counter::kIsIterationInvariantRate);
}

void find_largest(benchmark::State& state, const RowKernels& kernels) {
  const std::vector<uint16_t>& words = weights();
  const auto* stored = reinterpret_cast<const std::byte*>(words.data());
  for (auto _ : state) benchmark::DoNotOptimize(kernels.largest_bf16(stored, words.size()));
  state.counters["GB/s"] = benchmark::Counter(static_cast<double>(2 * words.size()) * 1e-9,
                                              benchmark::Counter::kIsIterationInvariantRate);
}

void register_all() {
  for (const RowKernels* kernels : usable_row_kernels()) {
    const std::string name(kernels->name);
    const auto add = [&](const char* what, auto function) {
      benchmark::RegisterBenchmark(("quantize/" + name + "/" + what).c_str(), function);
    };
    add("rtn", [=](benchmark::State& state) { run(state, *kernels, kernels->rtn, false); });
    add("sweep", [=](benchmark::State& state) { run(state, *kernels, kernels->sweep, false); });
    add("rtn+error", [=](benchmark::State& state) { run(state, *kernels, kernels->rtn, true); });
    add("error", [=](benchmark::State& state) { run(state, *kernels, nullptr, true); });
    add("largest", [=](benchmark::State& state) { find_largest(state, *kernels); });
  }
}

const bool kRegistered = (register_all(), true);

}  // namespace
}  // namespace nibble
