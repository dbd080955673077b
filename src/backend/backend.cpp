#include "backend/backend.h"

#include <fmt/format.h>

namespace nibble {

Result<MatrixKind> matrix_kind(const MatrixSource& source) {
  if (std::holds_alternative<QuantizedMatrixView>(source)) return MatrixKind::kNvfp4;
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
          fmt::format("a weight matrix of type {} cannot be multiplied; F32, BF16, F16 and "
                      "NVFP4 can",
                      dtype_name(view.dtype)));
  }
}

}  // namespace nibble
