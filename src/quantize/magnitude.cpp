#include "quantize/magnitude.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cmath>
#include <vector>

#include "quantize/methods/isa/row_kernels.h"

namespace nibble {
namespace {

constexpr size_t kPieceElements = 4096;
constexpr size_t kGrainElements = size_t{1} << 18;

// Bits of a magnitude order as the magnitudes do, and those of infinities and NaN lie above all
// numbers: one integer maximum finds both the largest number and anything that is none.
uint32_t largest_bits(std::span<const float> values) {
  uint32_t largest = 0;
  for (const float value : values) {
    largest = std::max(largest, std::bit_cast<uint32_t>(value) & 0x7fffffffu);
  }
  return largest;
}

// "[3, 17]" for a flat index.
std::string index_text(uint64_t index, const Shape& shape) {
  std::vector<uint64_t> place(shape.size());
  for (size_t axis = shape.size(); axis-- > 0;) {
    place[axis] = index % shape[axis];
    index /= shape[axis];
  }
  return fmt::format("[{}]", fmt::join(place, ", "));
}

Error not_finite(const TensorInfo& tensor, const TensorView& values, uint64_t first) {
  const uint64_t index = first_not_finite(values).value_or(0);
  const size_t element_bytes = dtype_bytes(values.dtype);
  float value = 0.0f;
  const TensorView element{
      values.dtype, {1}, values.bytes.subspan(index * element_bytes, element_bytes)};
  CHECK(to_f32(element, {&value, 1}).has_value());
  return Error(
      ErrorCode::kNotFinite,
      fmt::format("the weight at {} (row, column) of shape {} in {} is {}; every weight must be a "
                  "finite number. The checkpoint is damaged: download or export it again",
                  index_text(first + index, tensor.shape), shape_text(tensor.shape), tensor.shard,
                  std::isnan(value) ? "NaN" : "infinite"),
      tensor.stored_name);
}

}  // namespace

Result<float> largest_magnitude(const Checkpoint& checkpoint, const TensorInfo& tensor,
                                ThreadPool& pool) {
  return largest_magnitude(tensor, checkpoint.plain(tensor), 0, pool);
}

Result<float> largest_magnitude(const TensorInfo& tensor, const TensorView& values, uint64_t first,
                                ThreadPool& pool) {
  const size_t element_bytes = dtype_bytes(values.dtype);
  const size_t n = values.bytes.size() / element_bytes;
  const RowKernels& kernels = best_row_kernels();
  std::atomic<uint32_t> largest{0};
  pool.parallel_for(n, kGrainElements, [&](size_t begin, size_t end) {
    std::array<float, kPieceElements> piece;
    uint32_t own = 0;
    if (values.dtype == DType::kBF16) {
      own = kernels.largest_bf16(values.bytes.data() + 2 * begin, end - begin) << 16;
      begin = end;
    }
    for (size_t i = begin; i < end; i += kPieceElements) {
      const std::span<float> out(piece.data(), std::min(kPieceElements, end - i));
      const TensorView part{values.dtype,
                            {out.size()},
                            values.bytes.subspan(i * element_bytes, out.size() * element_bytes)};
      CHECK(to_f32(part, out).has_value());
      own = std::max(own, largest_bits(out));
    }
    uint32_t seen = largest.load();
    while (seen < own && !largest.compare_exchange_weak(seen, own)) {
    }
  });
  const float magnitude = std::bit_cast<float>(largest.load());
  if (!std::isfinite(magnitude)) return not_finite(tensor, values, first);
  return magnitude;
}

}  // namespace nibble
