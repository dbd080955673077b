// CpuBackend::matmul: which regime a product runs in and how its rows are spread over threads.
#include <algorithm>

#include "backend/cpu/cpu_backend_impl.h"
#include "backend/cpu/cpu_matrix.h"
#include "backend/cpu/parallel.h"

namespace nibble {
namespace {

// Multiplications that one part should hold: some 5 to 20 us, large enough to keep the prefetchers
// streaming, small enough that several threads share a small matrix.
constexpr size_t kProductsPerPart = 65536;

const WeightView& view_of(const Projection& projection) {
  return static_cast<const CpuMatrix*>(projection.weight)->view();
}

// Row ranges of several matrices, numbered through.
class RowParts {
 public:
  RowParts(std::span<const Projection> outs, size_t rows_per_part)
      : outs_(outs), rows_per_part_(rows_per_part) {
    for (const Projection& out : outs) n_parts_ += count(out);
  }
  size_t n_parts() const { return n_parts_; }

  struct Part {
    const Projection* projection;
    Range rows;
  };
  Part operator[](size_t index) const {
    const Projection* projection = outs_.data();
    for (; index >= count(*projection); ++projection) index -= count(*projection);
    const size_t rows = projection->weight->rows();
    const size_t begin = index * rows_per_part_;
    return {projection, {begin, std::min(rows, begin + rows_per_part_)}};
  }

 private:
  size_t count(const Projection& out) const {
    return (out.weight->rows() + rows_per_part_ - 1) / rows_per_part_;
  }
  std::span<const Projection> outs_;
  size_t rows_per_part_;
  size_t n_parts_ = 0;
};

ProductOut out_of(const Projection& projection) {
  return {projection.out, projection.weight->rows(), projection.accumulate};
}

}  // namespace

void CpuBackend::matmul(const float* x, size_t n_tokens, std::span<const Projection> outs) {
  if (n_tokens == 0 || outs.empty()) return;
  if (n_tokens <= kernels_.matmul.max_gemv_tokens) {
    matmul_few(x, n_tokens, outs);
  } else {
    matmul_many(x, n_tokens, outs);
  }
}

void CpuBackend::matmul_few(const float* x, size_t n_tokens, std::span<const Projection> outs) {
  const size_t cols = outs.front().weight->cols();
  const size_t rows =
      std::max<size_t>(8, kProductsPerPart / std::max<size_t>(1, n_tokens * cols) / 8 * 8);
  const RowParts parts(outs, rows);
  for_each(parts.n_parts(), cols, [&](size_t index, float* scratch) {
    const RowParts::Part part = parts[index];
    kernels_.matmul.gemv(view_of(*part.projection), part.rows, x, n_tokens,
                         out_of(*part.projection), scratch);
  });
}

void CpuBackend::matmul_many(const float* x, size_t n_tokens, std::span<const Projection> outs) {
  const MatmulKernels& kernels = kernels_.matmul;
  const size_t cols = outs.front().weight->cols();
  const size_t n_tiles = (n_tokens + kernels.token_tile - 1) / kernels.token_tile;
  float* packed = packed_tokens_.floats(n_tiles * kernels.token_tile * cols);
  const size_t tiles_per_part =
      std::max<size_t>(1, kProductsPerPart / (kernels.token_tile * std::max<size_t>(1, cols)));
  for_ranges(n_tiles, tiles_per_part, 0,
             [&](Range tiles, float*) { kernels.pack_tokens(x, n_tokens, cols, tiles, packed); });

  // Large parts reuse each token tile most; small matrices need parts for every thread.
  size_t total_rows = 0;
  for (const Projection& out : outs) total_rows += out.weight->rows();
  const size_t share = total_rows / (4 * pool_.n_threads()) / kernels.row_tile * kernels.row_tile;
  const RowParts parts(outs, std::clamp(share, kernels.row_tile, kernels.max_gemm_rows));
  for_each(parts.n_parts(), kernels.gemm_scratch_floats, [&](size_t index, float* scratch) {
    const RowParts::Part part = parts[index];
    kernels.gemm(view_of(*part.projection), part.rows, packed, n_tokens, out_of(*part.projection),
                 scratch);
  });
}

}  // namespace nibble
