// Matrix products of the CPU backend: GFLOP/s and weight bytes per second for layers of a 14M model
// and of a 9B one, per implementation, weight kind and number of tokens.
#include <benchmark/benchmark.h>

#include <random>
#include <string>
#include <vector>

#include "backend/cpu_backend.h"
#include "benchmarks/kernels/bench_backend.h"

namespace nibble {
namespace {

struct Product {
  MatrixKind kind;
  const char* kind_name;
  size_t rows;
  size_t cols;
};

// Random codes with scales near one: what the numbers are does not change the time.
QuantizedMatrix random_nvfp4(size_t rows, size_t cols) {
  QuantizedMatrix matrix;
  matrix.rows = rows;
  matrix.cols = cols;
  matrix.tensor_scale = 0.01f;
  matrix.codes.resize(rows * cols / 2);
  matrix.scales.resize(rows * cols / 16);
  std::mt19937 engine(1);
  for (uint8_t& code : matrix.codes) code = static_cast<uint8_t>(engine());
  for (uint8_t& scale : matrix.scales) scale = static_cast<uint8_t>(0x30 + engine() % 16);
  return matrix;
}

// Bytes 0x3c to 0x3f make numbers near one of any kind, and no subnormal ones, which are slow.
Tensor random_plain(MatrixKind kind, size_t rows, size_t cols) {
  const DType dtype = kind == MatrixKind::kF32 ? DType::kF32 : DType::kBF16;
  Tensor tensor = std::move(Tensor::zeros(dtype, {rows, cols})).value();
  std::mt19937 engine(1);
  for (std::byte& byte : tensor.bytes()) byte = static_cast<std::byte>(0x3cu | (engine() & 3u));
  return tensor;
}

void run_product(benchmark::State& state, const std::string& implementation, size_t n_threads,
                 const Product& product) {
  const auto n_tokens = static_cast<size_t>(state.range(0));
  const auto backend = bench::make_backend(implementation, n_threads);
  const bool nvfp4 = product.kind == MatrixKind::kNvfp4;
  QuantizedMatrix quantized;
  Tensor plain;
  if (nvfp4) {
    quantized = random_nvfp4(product.rows, product.cols);
  } else {
    plain = random_plain(product.kind, product.rows, product.cols);
  }
  const MatrixSource source = nvfp4 ? MatrixSource(quantized.view()) : MatrixSource(plain.view());
  const auto matrix = std::move(backend->load_matrix(source)).value();
  const std::vector<float> x(n_tokens * product.cols, 0.5f);
  std::vector<float> out(n_tokens * product.rows);
  const Projection projection{matrix.get(), out.data()};
  for (auto _ : state) {
    backend->matmul(x.data(), n_tokens, {&projection, 1});
    benchmark::DoNotOptimize(out.data());
  }
  const double work = 2.0 * static_cast<double>(n_tokens * product.rows * product.cols);
  const auto rate = benchmark::Counter::kIsIterationInvariantRate;
  state.counters["GFLOP/s"] = benchmark::Counter(work * 1e-9, rate);
  state.counters["GB/s"] = benchmark::Counter(static_cast<double>(matrix->n_bytes()) * 1e-9, rate);
}

void register_all() {
  static constexpr Product kProducts[] = {
      {MatrixKind::kBF16, "bf16", 768, 256},      {MatrixKind::kBF16, "bf16", 256, 768},
      {MatrixKind::kBF16, "bf16", 8192, 256},     {MatrixKind::kNvfp4, "nvfp4", 768, 256},
      {MatrixKind::kBF16, "bf16", 4096, 4096},    {MatrixKind::kNvfp4, "nvfp4", 4096, 4096},
      {MatrixKind::kNvfp4, "nvfp4", 12288, 4096}, {MatrixKind::kF32, "f32", 1024, 1024},
  };
  for (const std::string& implementation : bench::supported_implementations()) {
    for (const size_t n_threads : bench::thread_counts()) {
      for (const Product& product : kProducts) {
        const std::string name = "matmul/" + implementation +
                                 "/threads:" + std::to_string(n_threads) + "/" + product.kind_name +
                                 "[" + std::to_string(product.rows) + "," +
                                 std::to_string(product.cols) + "]/tokens";
        auto* bench = benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) {
          run_product(state, implementation, n_threads, product);
        });
        for (const int n_tokens : {1, 2, 4, 6, 8, 16, 32, 512}) bench->Arg(n_tokens);
        // One thread is measured by its own clock, which other programs disturb least.
        if (n_threads != 1) bench->UseRealTime();
      }
    }
  }
}

const bool kRegistered = (register_all(), true);

}  // namespace
}  // namespace nibble
