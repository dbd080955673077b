#include "checkpoint/output/arranged_matrix.h"

#include <fmt/format.h>

#include <cstring>
#include <span>
#include <utility>

#include "core/bytes.h"
#include "numbers/nvfp4.h"

namespace nibble {
namespace {

// What moves: whole rows, or runs of columns inside each row.
struct Move {
  bool columns = false;
  std::vector<uint64_t> sources;  // rows, or the first column of every run
  uint64_t width = 1;             // columns of a run
};

// Copies rows or runs of columns. `row_bytes` and `run_bytes` are what they take in this form.
void move_bytes(const Move& move, std::span<const std::byte> in, uint64_t row_bytes,
                uint64_t run_bytes, std::byte* out) {
  if (in.empty()) return;
  if (!move.columns) {
    for (const uint64_t row : move.sources) {
      std::memcpy(out, in.data() + row * row_bytes, row_bytes);
      out += row_bytes;
    }
    return;
  }
  const uint64_t n_rows = in.size() / row_bytes;
  for (uint64_t row = 0; row < n_rows; ++row) {
    for (const uint64_t column : move.sources) {
      std::memcpy(out, in.data() + row * row_bytes + column / move.width * run_bytes, run_bytes);
      out += run_bytes;
    }
  }
}

std::span<const std::byte> as_bytes_of(std::span<const uint8_t> codes) {
  return std::as_bytes(codes);
}

void move_codes(const Move& move, std::span<const uint8_t> in, uint64_t values_per_byte,
                uint64_t cols, std::vector<uint8_t>& out) {
  out.resize(in.size());
  move_bytes(move, as_bytes_of(in), cols / values_per_byte, move.width / values_per_byte,
             reinterpret_cast<std::byte*>(out.data()));
}

Status check_blocks(const Move& move, uint64_t block, const TensorInfo& tensor) {
  if (!move.columns || move.width % block == 0) return {};
  return Error(ErrorCode::kUnsupported,
               fmt::format("cannot change the order of its value heads: a head has {} columns, "
                           "which are not whole blocks of {}; convert from the original weights",
                           move.width, block),
               tensor.name);
}

Status arrange_nvfp4(const Move& move, const QuantizedMatrixView& in, const TensorInfo& tensor,
                     ArrangedMatrix& out) {
  RETURN_IF_ERROR(check_blocks(move, kNvfp4BlockSize, tensor));
  QuantizedMatrix moved;
  moved.rows = in.rows;
  moved.cols = in.cols;
  moved.tensor_scale = in.tensor_scale;
  moved.input_scale = in.input_scale;
  moved.divisors = in.divisors;
  move_codes(move, in.codes, 2, in.cols, moved.codes);
  move_codes(move, in.scales, kNvfp4BlockSize, in.cols, moved.scales);
  out.canonical = std::move(moved);
  out.source = out.canonical.view();
  return {};
}

void arrange_fp8(const Move& move, const Fp8MatrixView& in, ArrangedMatrix& out) {
  Fp8MatrixView moved = in;
  out.bytes.resize(in.codes.size());
  move_bytes(move, as_bytes_of(in.codes), in.cols, move.width, out.bytes.data());
  moved.codes = {reinterpret_cast<const uint8_t*>(out.bytes.data()), out.bytes.size()};
  if (!move.columns && in.scales.size() > 1) {
    out.scales.reserve(in.scales.size());
    for (const uint64_t row : move.sources) out.scales.push_back(in.scales[row]);
    moved.scales = out.scales;
  }
  out.source = moved;
}

void arrange_plain(const Move& move, const TensorView& in, ArrangedMatrix& out) {
  const uint64_t row_bytes = in.bytes.size() / in.shape[0];
  std::vector<std::byte> bytes(in.bytes.size());
  move_bytes(move, in.bytes, row_bytes, move.width * dtype_bytes(in.dtype), bytes.data());
  out.bytes = std::move(bytes);
  out.source = TensorView{in.dtype, in.shape, out.bytes};
}

Status arrange_blocks(const Move& move, const BlockMatrixView& in, const TensorInfo& tensor,
                      ArrangedMatrix& out) {
  if (in.kind == BlockKind::kNvfp4) {
    return arrange_nvfp4(move, canonical_nvfp4(in).view(), tensor, out);
  }
  const uint64_t block = block_values(in.kind);
  if (!move.columns || move.width % block == 0) {
    BlockMatrixView moved = in;
    out.bytes.resize(in.bytes.size());
    const uint64_t row_bytes = in.cols / block * block_bytes(in.kind);
    move_bytes(move, in.bytes, row_bytes, move.width / block * block_bytes(in.kind),
               out.bytes.data());
    moved.bytes = out.bytes;
    out.source = moved;
    return {};
  }
  std::vector<float> values(in.rows * in.cols);
  RETURN_IF_ERROR(decode_rows(in, 0, in.rows, values));
  arrange_plain(move, {DType::kF32, {in.rows, in.cols}, std::as_bytes(std::span(values))}, out);
  return {};
}

Result<Move> plan_move(const TensorInfo& tensor, const HeadArrangement& arrangement) {
  const ValueHeads& heads = arrangement.heads;
  const ValueHeadPart part = value_head_part(tensor.name);
  Move move;
  move.columns = part == ValueHeadPart::kColumns;
  const uint64_t n = tensor.shape.empty() ? 0
                     : move.columns       ? tensor.shape.back()
                                          : tensor.shape[0];
  const uint64_t n_before =
      part == ValueHeadPart::kRowsAfterKeys ? 2 * heads.n_key_heads * heads.key_dim : 0;
  if (n <= n_before || (n - n_before) % heads.n_value_heads != 0 ||
      (move.columns && tensor.shape.size() != 2)) {
    return Error(ErrorCode::kCorrupt,
                 fmt::format("has the shape {}, in which the {} value heads of the config have no "
                             "place",
                             shape_text(tensor.shape), heads.n_value_heads),
                 tensor.name);
  }
  move.sources = reordered_value_heads(arrangement.from, heads, part, n);
  if (!move.columns) return move;
  move.width = n / heads.n_value_heads;
  std::vector<uint64_t> runs;
  runs.reserve(heads.n_value_heads);
  for (uint64_t i = 0; i < n; i += move.width) runs.push_back(move.sources[i]);
  move.sources = std::move(runs);
  return move;
}

}  // namespace

bool HeadArrangement::moves(const TensorInfo& tensor) const {
  return from != to && heads.n_key_heads != heads.n_value_heads &&
         value_head_part(tensor.name) != ValueHeadPart::kNone;
}

Result<ArrangedMatrix> arrange_matrix(const MatrixSource& source, const TensorInfo& tensor,
                                      const HeadArrangement& arrangement) {
  ArrangedMatrix out(source);
  if (!arrangement.moves(tensor)) return out;
  ASSIGN_OR_RETURN(const Move move, plan_move(tensor, arrangement));
  if (const auto* matrix = std::get_if<QuantizedMatrixView>(&source)) {
    RETURN_IF_ERROR(arrange_nvfp4(move, *matrix, tensor, out));
  } else if (const auto* fp8 = std::get_if<Fp8MatrixView>(&source)) {
    arrange_fp8(move, *fp8, out);
  } else if (const auto* blocks = std::get_if<BlockMatrixView>(&source)) {
    RETURN_IF_ERROR(arrange_blocks(move, *blocks, tensor, out));
  } else {
    TensorView plain = std::get<TensorView>(source);
    plain.shape = tensor.shape;
    arrange_plain(move, plain, out);
  }
  return out;
}

}  // namespace nibble
