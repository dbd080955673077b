#include "tensor/dtype.h"

#include <array>

#include "core/check.h"

namespace nibble {
namespace {

struct DTypeRow {
  DType dtype;
  std::string_view name;
  size_t n_bytes;
  bool floating;
};

constexpr std::array<DTypeRow, 15> kRows = {{
    {DType::kBool, "BOOL", 1, false},
    {DType::kU8, "U8", 1, false},
    {DType::kI8, "I8", 1, false},
    {DType::kF8E4M3, "F8_E4M3", 1, true},
    {DType::kF8E5M2, "F8_E5M2", 1, false},
    {DType::kU16, "U16", 2, false},
    {DType::kI16, "I16", 2, false},
    {DType::kF16, "F16", 2, true},
    {DType::kBF16, "BF16", 2, true},
    {DType::kU32, "U32", 4, false},
    {DType::kI32, "I32", 4, false},
    {DType::kF32, "F32", 4, true},
    {DType::kU64, "U64", 8, false},
    {DType::kI64, "I64", 8, false},
    {DType::kF64, "F64", 8, true},
}};

const DTypeRow& row_of(DType dtype) {
  const DTypeRow& row = kRows.at(static_cast<size_t>(dtype));
  CHECK(row.dtype == dtype);
  return row;
}

}  // namespace

size_t dtype_bytes(DType dtype) { return row_of(dtype).n_bytes; }

std::string_view dtype_name(DType dtype) { return row_of(dtype).name; }

std::optional<DType> dtype_from_name(std::string_view name) {
  for (const DTypeRow& row : kRows) {
    if (row.name == name) return row.dtype;
  }
  return std::nullopt;
}

bool is_floating(DType dtype) { return row_of(dtype).floating; }

}  // namespace nibble
