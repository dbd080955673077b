#include "backend/cpu/cpu_matrix.h"

#include <fmt/format.h>

#include <new>

#include "numbers/ggml_blocks.h"
#include "numbers/nvfp4.h"

namespace nibble {
namespace {

// Shape and bytes of the source, checked by the tensor room; what is wrong, in words.
Status check_shape(const MatrixSource& source, MatrixKind kind) {
  const uint64_t rows = matrix_rows(source);
  const uint64_t cols = matrix_cols(source);
  if (cols % matrix_block_values(kind) != 0) {
    return Error(ErrorCode::kUnsupported,
                 fmt::format("a weight matrix has {} columns; its blocks need a multiple of {}",
                             cols, matrix_block_values(kind)));
  }
  if (has_whole_bytes(source)) return {};
  return Error(ErrorCode::kMismatch,
               fmt::format("the elements or scales of a weight matrix [{}, {}] are not as many as "
                           "that shape needs; the checkpoint is damaged",
                           rows, cols));
}

struct DecoderOfKind {
  MatrixKind kind;
  BlockDecoder decoder;
};
constexpr DecoderOfKind kDecoders[] = {
    {MatrixKind::kQ4_0, {kQ4_0Values, kQ4_0Bytes, decode_q4_0}},
    {MatrixKind::kQ8_0, {kQ8_0Values, kQ8_0Bytes, decode_q8_0}},
    {MatrixKind::kQ4K, {kKValues, kQ4KBytes, decode_q4_k}},
    {MatrixKind::kQ5K, {kKValues, kQ5KBytes, decode_q5_k}},
    {MatrixKind::kQ6K, {kKValues, kQ6KBytes, decode_q6_k}},
};

const BlockDecoder* block_decoder(MatrixKind kind) {
  for (const DecoderOfKind& row : kDecoders) {
    if (row.kind == kind) return &row.decoder;
  }
  CHECK(false);  // not a kind of blocks
}

}  // namespace

Result<std::unique_ptr<Matrix>> CpuMatrix::borrow(const MatrixSource& source) {
  ASSIGN_OR_RETURN(const MatrixKind kind, matrix_kind(source));
  if (const auto* plain = std::get_if<TensorView>(&source)) return borrow_plain(*plain, kind);
  RETURN_IF_ERROR(check_shape(source, kind));
  if (const auto* nvfp4 = std::get_if<QuantizedMatrixView>(&source)) {
    return std::unique_ptr<Matrix>(borrow_nvfp4(*nvfp4));
  }
  if (const auto* fp8 = std::get_if<Fp8MatrixView>(&source)) {
    return std::unique_ptr<Matrix>(borrow_fp8(*fp8));
  }
  const auto& blocks = std::get<BlockMatrixView>(source);
  if (blocks.kind == BlockKind::kNvfp4) return repack_nvfp4(blocks);
  return std::unique_ptr<Matrix>(borrow_blocks(blocks, kind));
}

Result<std::unique_ptr<Matrix>> CpuMatrix::borrow_plain(const TensorView& source, MatrixKind kind) {
  if (source.shape.size() != 2) {
    return Error(ErrorCode::kUnsupported,
                 fmt::format("a weight matrix has the shape {}; two axes are needed",
                             shape_text(source.shape)));
  }
  RETURN_IF_ERROR(check_shape(source, kind));
  WeightView view{};
  view.kind = kind;
  view.rows = source.shape[0];
  view.cols = source.shape[1];
  view.elements = source.bytes.data();
  return std::unique_ptr<Matrix>(new CpuMatrix(view, source.bytes.size()));
}

std::unique_ptr<CpuMatrix> CpuMatrix::borrow_nvfp4(const QuantizedMatrixView& source) {
  WeightView view{};
  view.kind = MatrixKind::kNvfp4;
  view.rows = source.rows;
  view.cols = source.cols;
  view.elements = source.codes.data();
  view.scales = source.scales.data();
  std::unique_ptr<CpuMatrix> matrix(
      new CpuMatrix(view, source.codes.size() + source.scales.size()));
  for (size_t code = 0; code < 256; ++code) {
    matrix->scale_values_[code] = e4m3_to_f32(static_cast<uint8_t>(code)) * source.tensor_scale;
  }
  matrix->view_.scale_values = matrix->scale_values_.data();
  return matrix;
}

std::unique_ptr<CpuMatrix> CpuMatrix::borrow_fp8(const Fp8MatrixView& source) {
  WeightView view{};
  view.kind = MatrixKind::kFp8;
  view.rows = source.rows;
  view.cols = source.cols;
  view.elements = source.codes.data();
  view.row_scales = source.scales.data();
  view.row_scale_step = source.scales.size() == 1 ? 0 : 1;
  const uint64_t n_bytes = source.codes.size() + source.scales.size_bytes();
  return std::unique_ptr<CpuMatrix>(new CpuMatrix(view, n_bytes));
}

std::unique_ptr<CpuMatrix> CpuMatrix::borrow_blocks(const BlockMatrixView& source,
                                                    MatrixKind kind) {
  WeightView view{};
  view.kind = kind;
  view.rows = source.rows;
  view.cols = source.cols;
  view.elements = source.bytes.data();
  view.block_decoder = block_decoder(kind);
  return std::unique_ptr<CpuMatrix>(new CpuMatrix(view, source.bytes.size()));
}

Result<std::unique_ptr<Matrix>> CpuMatrix::repack_nvfp4(const BlockMatrixView& source) {
  try {
    QuantizedMatrix repacked = canonical_nvfp4(source);
    std::unique_ptr<CpuMatrix> matrix = borrow_nvfp4(repacked.view());
    matrix->repacked_ = std::move(repacked);  // the buffers stay where they are
    return std::unique_ptr<Matrix>(std::move(matrix));
  } catch (const std::bad_alloc&) {
    return Error(ErrorCode::kOutOfMemory,
                 fmt::format("could not allocate {} bytes to repack a weight matrix [{}, {}]",
                             source.bytes.size(), source.rows, source.cols));
  }
}

}  // namespace nibble
