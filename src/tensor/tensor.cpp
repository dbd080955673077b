#include "tensor/tensor.h"

#include <fmt/format.h>

#include <cmath>
#include <cstdlib>
#include <cstring>

#include "core/bytes.h"
#include "numbers/bf16.h"
#include "numbers/e4m3.h"

namespace nibble {
namespace {

constexpr size_t kAlignment = 64;

// Calls visit(index, value) for every element until it returns false.
template <typename Visit>
void visit_f32(const TensorView& tensor, Visit visit) {
  const std::byte* data = tensor.bytes.data();
  const size_t n = tensor.bytes.size() / dtype_bytes(tensor.dtype);
  auto loop = [&](auto decode) {
    for (size_t i = 0; i < n; ++i) {
      if (!visit(i, decode(i))) return;
    }
  };
  switch (tensor.dtype) {
    case DType::kF32:
      return loop([&](size_t i) { return load_le<float>(data + 4 * i); });
    case DType::kBF16:
      return loop([&](size_t i) { return bf16_to_f32(load_le<uint16_t>(data + 2 * i)); });
    case DType::kF16:
      return loop([&](size_t i) { return f16_to_f32(load_le<uint16_t>(data + 2 * i)); });
    case DType::kF64:
      return loop([&](size_t i) { return static_cast<float>(load_le<double>(data + 8 * i)); });
    case DType::kF8E4M3:
      return loop([&](size_t i) { return e4m3_to_f32(load_le<uint8_t>(data + i)); });
    default:
      CHECK(!is_floating(tensor.dtype));
  }
}

}  // namespace

std::optional<uint64_t> n_elements(const Shape& shape) {
  uint64_t product = 1;
  for (const uint64_t size : shape) {
    const auto next = checked_mul(product, size);
    if (!next) return std::nullopt;
    product = *next;
  }
  return product;
}

std::string shape_text(const Shape& shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

void Tensor::Free::operator()(std::byte* data) const { std::free(data); }

Result<Tensor> Tensor::zeros(DType dtype, Shape shape) {
  const auto n = n_elements(shape);
  const auto n_bytes = n ? checked_mul(*n, dtype_bytes(dtype)) : std::nullopt;
  if (!n_bytes || *n_bytes > (uint64_t{1} << 62)) {
    return Error(
        ErrorCode::kInvalidArgument,
        fmt::format("a tensor of shape {} is larger than memory can be", shape_text(shape)));
  }
  Tensor tensor;
  const size_t rounded = (*n_bytes + kAlignment - 1) / kAlignment * kAlignment;
  void* data = std::aligned_alloc(kAlignment, std::max(rounded, kAlignment));
  if (data == nullptr) {
    return Error(ErrorCode::kOutOfMemory, fmt::format("cannot allocate {} for a tensor of shape {}",
                                                      human_bytes(*n_bytes), shape_text(shape)));
  }
  std::memset(data, 0, rounded);
  tensor.data_.reset(static_cast<std::byte*>(data));
  tensor.dtype_ = dtype;
  tensor.shape_ = std::move(shape);
  tensor.n_bytes_ = *n_bytes;
  return tensor;
}

Status to_f32(const TensorView& in, std::span<float> out) {
  if (!is_floating(in.dtype)) {
    return Error(
        ErrorCode::kInvalidArgument,
        fmt::format("a tensor of type {} is not a floating-point tensor", dtype_name(in.dtype)));
  }
  if (in.bytes.size() != out.size() * dtype_bytes(in.dtype)) {
    return Error(ErrorCode::kInvalidArgument,
                 fmt::format("{} bytes of {} are not {} elements", in.bytes.size(),
                             dtype_name(in.dtype), out.size()));
  }
  visit_f32(in, [&](size_t i, float value) {
    out[i] = value;
    return true;
  });
  return {};
}

std::optional<uint64_t> first_not_finite(const TensorView& tensor) {
  std::optional<uint64_t> found;
  visit_f32(tensor, [&](size_t i, float value) {
    if (std::isfinite(value)) return true;
    found = i;
    return false;
  });
  return found;
}

}  // namespace nibble
