// Looking for NaN and infinity in matrices of every storage.
#include <algorithm>
#include <array>
#include <cmath>

#include "core/bytes.h"
#include "numbers/nvfp4.h"
#include "tensor/matrix_source.h"

namespace nibble {
namespace {

constexpr uint8_t kE4m3NaN = 0x7f;  // whatever the sign

bool is_e4m3_nan(uint8_t code) { return (code & 0x7fu) == kE4m3NaN; }

// Where the half-precision scales stand in a block; a second offset of kNone where there is one.
constexpr size_t kNone = SIZE_MAX;
struct HalfScales {
  BlockKind kind;
  std::array<size_t, 2> offsets;
};
constexpr HalfScales kHalfScales[] = {
    {BlockKind::kQ4_0, {0, kNone}},  {BlockKind::kQ8_0, {0, kNone}},
    {BlockKind::kQ4K, {0, 2}},       {BlockKind::kQ5K, {0, 2}},
    {BlockKind::kQ6K, {208, kNone}}, {BlockKind::kNvfp4, {kNone, kNone}},
};

const HalfScales& half_scales(BlockKind kind) {
  const HalfScales& scales = kHalfScales[static_cast<size_t>(kind)];
  CHECK(scales.kind == kind);
  return scales;
}

// One row of each kind of view; the row exists.
struct RowIsFinite {
  uint64_t row;

  bool operator()(const TensorView& view) const {
    return !first_not_finite(std::get<TensorView>(slice_rows(view, row, 1)));
  }
  bool operator()(const QuantizedMatrixView& view) const {
    const uint64_t blocks = view.cols / kNvfp4BlockSize;
    const auto scales = view.scales.subspan(row * blocks, blocks);
    return std::isfinite(view.tensor_scale) &&
           std::none_of(scales.begin(), scales.end(), is_e4m3_nan);
  }
  bool operator()(const Fp8MatrixView& view) const {
    const auto codes = view.codes.subspan(row * view.cols, view.cols);
    return std::isfinite(view.scales[view.scales.size() == 1 ? 0 : row]) &&
           std::none_of(codes.begin(), codes.end(), is_e4m3_nan);
  }
  bool operator()(const BlockMatrixView& view) const {
    const size_t unit = block_bytes(view.kind);
    const uint64_t blocks = view.cols / block_values(view.kind);
    const auto bytes = view.bytes.subspan(row * blocks * unit, blocks * unit);
    for (const size_t offset : half_scales(view.kind).offsets) {
      if (offset == kNone) continue;
      for (size_t at = offset; at < bytes.size(); at += unit) {
        if ((load_le<uint16_t>(bytes.data() + at) & 0x7c00u) == 0x7c00u) return false;
      }
    }
    return std::isfinite(view.tensor_scale);
  }
};

}  // namespace

std::optional<uint64_t> first_not_finite_row(const MatrixSource& source, uint64_t first_row,
                                             uint64_t n_rows) {
  const uint64_t rows = matrix_rows(source);
  CHECK(first_row <= rows && n_rows <= rows - first_row);
  for (uint64_t row = first_row; row < first_row + n_rows; ++row) {
    if (!std::visit(RowIsFinite{row}, source)) return row;
  }
  return std::nullopt;
}

}  // namespace nibble
