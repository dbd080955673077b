// A weight matrix in any of the forms in which checkpoints store one, borrowed; decoding its rows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <variant>

#include "tensor/quantized_matrix.h"
#include "tensor/tensor.h"

namespace nibble {

/// FP8: value(r, c) = e4m3(code) * scale. Products use the weight so decoded, in F32; activations
/// are not rounded.
struct Fp8MatrixView {
  uint64_t rows = 0;
  uint64_t cols = 0;
  std::span<const uint8_t> codes;  ///< [rows, cols] E4M3
  std::span<const float> scales;   ///< one for the matrix, or [rows]
  /// Static activation scale (multiplier, act_amax / 448); kept, not applied.
  std::optional<float> input_scale;
};

/// The block layouts of GGUF (numbers/ggml_blocks.h).
enum class BlockKind : uint8_t { kQ4_0, kQ8_0, kQ4K, kQ5K, kQ6K, kNvfp4 };

/// "Q4_K".
std::string_view block_kind_name(BlockKind kind);
/// Values that one block holds, and bytes that it takes.
uint64_t block_values(BlockKind kind);
uint64_t block_bytes(BlockKind kind);

/// A matrix of blocks; each row is a whole number of them.
struct BlockMatrixView {
  uint64_t rows = 0;
  uint64_t cols = 0;  ///< a multiple of block_values(kind)
  BlockKind kind = BlockKind::kQ8_0;
  std::span<const std::byte> bytes;  ///< row after row
  float tensor_scale = 1.0f;         ///< kNvfp4 only: a factor of every value
  /// kNvfp4 only: static activation scale, as in QuantizedMatrixView.
  std::optional<float> input_scale = std::nullopt;
};

/// Where a weight matrix comes from. Plain elements are [rows, cols], or of more axes whose last is
/// the columns and whose others together are the rows.
using MatrixSource = std::variant<TensorView, QuantizedMatrixView, Fp8MatrixView, BlockMatrixView>;

/// Rows and columns; a plain vector is one row.
uint64_t matrix_rows(const MatrixSource& source);
uint64_t matrix_cols(const MatrixSource& source);

/// Whether the bytes, codes and scales are exactly as many as the shape needs.
bool has_whole_bytes(const MatrixSource& source);

/// Rows [first_row, first_row + n_rows) as a matrix of their own, borrowing the same bytes. They
/// must exist (CHECK). Plain elements become [n_rows, cols].
MatrixSource slice_rows(const MatrixSource& source, uint64_t first_row, uint64_t n_rows);

/// Decodes rows [first_row, first_row + n_rows) to F32.
///   source  whole (has_whole_bytes); safe from several threads
///   out     [n_rows, cols]
///   errors  kInvalidArgument for plain elements of integer types
Status decode_rows(const MatrixSource& source, uint64_t first_row, uint64_t n_rows,
                   std::span<float> out);

/// The first of the rows [first_row, first_row + n_rows) that holds a NaN or an infinity, or a
/// scale that is one; nothing where all values are finite. Of formats whose codes are always finite
/// only the scales are read.
///   source  whole, plain elements of a floating type
std::optional<uint64_t> first_not_finite_row(const MatrixSource& source, uint64_t first_row,
                                             uint64_t n_rows);

/// The same values in canonical NVFP4, bit for bit. Scale bytes that GGUF reads as zero (0x7f) get
/// the scale code zero.
///   matrix  of kNvfp4 (CHECK)
QuantizedMatrix canonical_nvfp4(const BlockMatrixView& matrix);

}  // namespace nibble
