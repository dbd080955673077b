#include "backend/backend.h"

#include <fmt/format.h>

#include "numbers/nvfp4.h"

namespace nibble {
namespace {

MatrixKind kind_of(BlockKind kind) {
  switch (kind) {
    case BlockKind::kQ4_0:
      return MatrixKind::kQ4_0;
    case BlockKind::kQ8_0:
      return MatrixKind::kQ8_0;
    case BlockKind::kQ4K:
      return MatrixKind::kQ4K;
    case BlockKind::kQ5K:
      return MatrixKind::kQ5K;
    case BlockKind::kQ6K:
      return MatrixKind::kQ6K;
    case BlockKind::kNvfp4:
      break;
  }
  return MatrixKind::kNvfp4;
}

}  // namespace

uint64_t matrix_block_values(MatrixKind kind) {
  switch (kind) {
    case MatrixKind::kF32:
    case MatrixKind::kBF16:
    case MatrixKind::kF16:
    case MatrixKind::kFp8:
      break;
    case MatrixKind::kNvfp4:
      return kNvfp4BlockSize;
    case MatrixKind::kQ4_0:
      return block_values(BlockKind::kQ4_0);
    case MatrixKind::kQ8_0:
      return block_values(BlockKind::kQ8_0);
    case MatrixKind::kQ4K:
      return block_values(BlockKind::kQ4K);
    case MatrixKind::kQ5K:
      return block_values(BlockKind::kQ5K);
    case MatrixKind::kQ6K:
      return block_values(BlockKind::kQ6K);
  }
  return 1;
}

Result<MatrixKind> matrix_kind(const MatrixSource& source) {
  if (std::holds_alternative<QuantizedMatrixView>(source)) return MatrixKind::kNvfp4;
  if (std::holds_alternative<Fp8MatrixView>(source)) return MatrixKind::kFp8;
  if (const auto* blocks = std::get_if<BlockMatrixView>(&source)) return kind_of(blocks->kind);
  const TensorView& view = std::get<TensorView>(source);
  switch (view.dtype) {
    case DType::kF32:
      return MatrixKind::kF32;
    case DType::kBF16:
      return MatrixKind::kBF16;
    case DType::kF16:
      return MatrixKind::kF16;
    default:
      return Error(
          ErrorCode::kUnsupported,
          fmt::format("a weight matrix of type {} cannot be multiplied; F32, BF16, F16, FP8 with "
                      "scales, NVFP4 and the blocks of GGUF can",
                      dtype_name(view.dtype)));
  }
}

}  // namespace nibble
