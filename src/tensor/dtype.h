// The element types that tensors in files and in memory can have.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace nibble {

enum class DType : uint8_t {
  kBool,
  kU8,
  kI8,
  kF8E4M3,
  kF8E5M2,
  kU16,
  kI16,
  kF16,
  kBF16,
  kU32,
  kI32,
  kF32,
  kU64,
  kI64,
  kF64,
};

/// Size of one element.
size_t dtype_bytes(DType dtype);

/// The name that safetensors uses ("BF16", "F8_E4M3").
std::string_view dtype_name(DType dtype);

/// The inverse of dtype_name; nothing for unknown names.
std::optional<DType> dtype_from_name(std::string_view name);

/// True for the types that to_f32 (tensor/convert.h) can widen.
bool is_floating(DType dtype);

}  // namespace nibble
