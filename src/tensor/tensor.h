// Tensors: a dtype, a shape and row-major bytes, borrowed (TensorView) or owned (Tensor).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/result.h"
#include "tensor/dtype.h"

namespace nibble {

/// Sizes of the axes, slowest first. An empty list is a scalar.
using Shape = std::vector<uint64_t>;

/// Product of the sizes (1 for a scalar), or nothing if it does not fit in 64 bits.
std::optional<uint64_t> n_elements(const Shape& shape);

/// "[8192, 4096]".
std::string shape_text(const Shape& shape);

/// A tensor whose bytes belong to somebody else (usually a mapped file). Bytes may be unaligned.
struct TensorView {
  DType dtype = DType::kF32;
  Shape shape;
  std::span<const std::byte> bytes;
};

/// A tensor that owns its bytes, aligned to 64. Move-only.
class Tensor {
 public:
  Tensor() = default;
  /// Allocates zeros. Errors: kOutOfMemory, kInvalidArgument (size overflow).
  static Result<Tensor> zeros(DType dtype, Shape shape);
  Tensor(Tensor&&) noexcept = default;
  Tensor& operator=(Tensor&&) noexcept = default;

  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  std::span<std::byte> bytes() { return {data_.get(), n_bytes_}; }
  std::span<const std::byte> bytes() const { return {data_.get(), n_bytes_}; }
  TensorView view() const { return {dtype_, shape_, bytes()}; }
  /// The elements as T; the size of T must be that of the dtype.
  template <typename T>
  std::span<T> as() {
    CHECK(sizeof(T) == dtype_bytes(dtype_));
    return {reinterpret_cast<T*>(data_.get()), n_bytes_ / sizeof(T)};
  }

 private:
  struct Free {
    void operator()(std::byte* data) const;
  };
  DType dtype_ = DType::kF32;
  Shape shape_ = {0};
  size_t n_bytes_ = 0;
  std::unique_ptr<std::byte[], Free> data_;
};

/// Widens any floating dtype to F32 (F64 is rounded).
///   in   n elements, borrowed, any alignment;  out  n floats
///   errors  kInvalidArgument for integer dtypes or a size that differs
Status to_f32(const TensorView& in, std::span<float> out);

/// Index of the first NaN or infinity in a tensor of a floating dtype; nothing if all are finite.
/// Cost: one pass.
std::optional<uint64_t> first_not_finite(const TensorView& tensor);

}  // namespace nibble
