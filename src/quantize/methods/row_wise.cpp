#include "quantize/methods/row_wise.h"

#include <fmt/format.h>

#include <algorithm>
#include <new>
#include <vector>

#include "core/bytes.h"
#include "numbers/nvfp4.h"

namespace nibble {
namespace {

// Enough work per hand-out to make its cost vanish, little enough to share small matrices.
constexpr size_t kElementsPerGrain = size_t{1} << 16;

}  // namespace

Result<QuantizedMatrix> quantize_rows(const MatrixTask& task, RowKernel kernel, ThreadPool& pool) {
  const TensorView& weights = task.weights;
  CHECK(weights.shape.size() == 2 && weights.shape[1] % kNvfp4BlockSize == 0);
  const size_t rows = weights.shape[0];
  const size_t cols = weights.shape[1];
  const size_t n_blocks = cols / kNvfp4BlockSize;
  const size_t row_bytes = cols * dtype_bytes(weights.dtype);
  CHECK(weights.bytes.size() == rows * row_bytes);

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
    std::vector<float> row(cols);
    for (size_t r = begin; r < end; ++r) {
      const TensorView stored{
          weights.dtype, {cols}, weights.bytes.subspan(r * row_bytes, row_bytes)};
      CHECK(to_f32(stored, row).has_value());
      kernel(row.data(), n_blocks, task.tensor_scale,
             out.codes.data() + r * n_blocks * kNvfp4BlockBytes, out.scales.data() + r * n_blocks);
    }
  });
  return out;
}

}  // namespace nibble
