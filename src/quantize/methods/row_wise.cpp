#include "quantize/methods/row_wise.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <new>

#include "core/bytes.h"
#include "numbers/nvfp4.h"

namespace nibble {
namespace {

// Enough work per hand-out to make its cost vanish, little enough to share small matrices.
constexpr size_t kElementsPerGrain = size_t{1} << 16;

// Widened values stay in the first-level cache until they are coded.
constexpr size_t kPieceBlocks = 128;

}  // namespace

void widen_elements(DType dtype, const std::byte* elements, size_t n, float* out) {
  if (dtype == DType::kBF16) return best_row_kernels().widen_bf16(elements, n, out);
  const TensorView view{dtype, {n}, {elements, n * dtype_bytes(dtype)}};
  CHECK(to_f32(view, {out, n}).has_value());
}

Result<QuantizedMatrix> quantize_rows(const MatrixTask& task, RowKernel kernel, ThreadPool& pool) {
  const TensorView& weights = task.weights;
  CHECK(weights.shape.size() == 2 && weights.shape[1] % kNvfp4BlockSize == 0);
  const size_t rows = weights.shape[0];
  const size_t cols = weights.shape[1];
  const size_t n_blocks = cols / kNvfp4BlockSize;
  const size_t block_bytes = kNvfp4BlockSize * dtype_bytes(weights.dtype);
  CHECK(weights.bytes.size() == rows * n_blocks * block_bytes);

  QuantizedMatrix out;
  try {
    out.codes.resize(rows * n_blocks * kNvfp4BlockBytes);
    out.scales.resize(rows * n_blocks);
  } catch (const std::bad_alloc&) {
    return Error(ErrorCode::kOutOfMemory,
                 fmt::format("cannot allocate {} for a quantized matrix of shape {}",
                             human_bytes(nvfp4_bytes(rows, cols)), shape_text(weights.shape)));
  }
  out.rows = rows;
  out.cols = cols;
  out.tensor_scale = task.tensor_scale;
  if (rows == 0 || cols == 0) return out;

  const size_t grain = std::max<size_t>(1, kElementsPerGrain / cols);
  pool.parallel_for(rows, grain, [&](size_t begin, size_t end) {
    // Blocks follow each other over the ends of rows.
    std::array<float, kPieceBlocks * kNvfp4BlockSize> values;
    for (size_t block = begin * n_blocks; block < end * n_blocks; block += kPieceBlocks) {
      const size_t n = std::min(kPieceBlocks, end * n_blocks - block);
      widen_elements(weights.dtype, weights.bytes.data() + block * block_bytes, n * kNvfp4BlockSize,
                     values.data());
      kernel(values.data(), n, task.tensor_scale, out.codes.data() + block * kNvfp4BlockBytes,
             out.scales.data() + block);
    }
  });
  return out;
}

}  // namespace nibble
