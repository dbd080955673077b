#include "backend/cpu/cpu_matrix.h"

#include <fmt/format.h>

#include "core/bytes.h"
#include "numbers/nvfp4.h"

namespace nibble {
namespace {

Error wrong_size(std::string_view what, uint64_t rows, uint64_t cols, uint64_t found) {
  return Error(ErrorCode::kMismatch,
               fmt::format("the {} of a weight matrix [{}, {}] take {} bytes, which is not what "
                           "that shape needs; the checkpoint is damaged",
                           what, rows, cols, found));
}

bool has_bytes(uint64_t found, uint64_t rows, uint64_t cols, uint64_t unit_bytes) {
  const auto elements = checked_mul(rows, cols);
  return elements && checked_mul(*elements, unit_bytes) == found;
}

}  // namespace

Result<std::unique_ptr<Matrix>> CpuMatrix::borrow(const MatrixSource& source) {
  ASSIGN_OR_RETURN(const MatrixKind kind, matrix_kind(source));
  if (std::holds_alternative<QuantizedMatrixView>(source))
    return borrow_nvfp4(std::get<QuantizedMatrixView>(source));
  if (!std::holds_alternative<TensorView>(source)) {
    return Error(ErrorCode::kUnsupported, "a weight matrix of this form cannot be multiplied");
  }
  return borrow_plain(std::get<TensorView>(source), kind);
}

Result<std::unique_ptr<Matrix>> CpuMatrix::borrow_plain(const TensorView& source, MatrixKind kind) {
  if (source.shape.size() != 2) {
    return Error(ErrorCode::kUnsupported,
                 fmt::format("a weight matrix has the shape {}; two axes are needed",
                             shape_text(source.shape)));
  }
  const uint64_t rows = source.shape[0];
  const uint64_t cols = source.shape[1];
  if (!has_bytes(source.bytes.size(), rows, cols, dtype_bytes(source.dtype))) {
    return wrong_size("elements", rows, cols, source.bytes.size());
  }
  const WeightView view{kind, rows, cols, source.bytes.data(), nullptr, nullptr};
  return std::unique_ptr<Matrix>(new CpuMatrix(view, source.bytes.size()));
}

Result<std::unique_ptr<Matrix>> CpuMatrix::borrow_nvfp4(const QuantizedMatrixView& source) {
  if (source.cols % kNvfp4BlockSize != 0) {
    return Error(ErrorCode::kUnsupported,
                 fmt::format("an NVFP4 matrix has {} columns; a multiple of {} is needed",
                             source.cols, kNvfp4BlockSize));
  }
  const uint64_t blocks = source.cols / kNvfp4BlockSize;
  if (!has_bytes(source.codes.size(), source.rows, blocks, kNvfp4BlockBytes)) {
    return wrong_size("NVFP4 codes", source.rows, source.cols, source.codes.size());
  }
  if (!has_bytes(source.scales.size(), source.rows, blocks, 1)) {
    return wrong_size("NVFP4 scales", source.rows, source.cols, source.scales.size());
  }
  const WeightView view{MatrixKind::kNvfp4,  source.rows,          source.cols,
                        source.codes.data(), source.scales.data(), nullptr};
  std::unique_ptr<CpuMatrix> matrix(
      new CpuMatrix(view, source.codes.size() + source.scales.size()));
  for (size_t code = 0; code < 256; ++code) {
    matrix->scale_values_[code] = e4m3_to_f32(static_cast<uint8_t>(code)) * source.tensor_scale;
  }
  matrix->view_.scale_values = matrix->scale_values_.data();
  return std::unique_ptr<Matrix>(std::move(matrix));
}

}  // namespace nibble
