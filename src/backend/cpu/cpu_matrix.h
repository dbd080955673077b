// The CPU's weight matrix: it borrows the source's bytes, at whatever address they lie. Only the
// NVFP4 blocks of GGUF are repacked.
#pragma once

#include <array>
#include <memory>

#include "backend/backend.h"
#include "backend/cpu/kernels.h"

namespace nibble {

class CpuMatrix : public Matrix {
 public:
  /// Errors: kUnsupported (element type, rank, columns that are not whole blocks), kMismatch (bytes
  /// against shape), kOutOfMemory.
  static Result<std::unique_ptr<Matrix>> borrow(const MatrixSource& source);

  const WeightView& view() const { return view_; }

 private:
  CpuMatrix(const WeightView& view, uint64_t n_bytes)
      : Matrix(view.rows, view.cols, n_bytes), view_(view) {}
  static Result<std::unique_ptr<Matrix>> borrow_plain(const TensorView& source, MatrixKind kind);
  static std::unique_ptr<CpuMatrix> borrow_nvfp4(const QuantizedMatrixView& source);
  static std::unique_ptr<CpuMatrix> borrow_fp8(const Fp8MatrixView& source);
  static std::unique_ptr<CpuMatrix> borrow_blocks(const BlockMatrixView& source, MatrixKind kind);
  static Result<std::unique_ptr<Matrix>> repack_nvfp4(const BlockMatrixView& source);

  WeightView view_;
  std::array<float, 256> scale_values_{};
  QuantizedMatrix repacked_;
};

}  // namespace nibble
