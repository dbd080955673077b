#include "tensor/matrix_source.h"

#include "core/bytes.h"
#include "numbers/e4m3.h"
#include "numbers/ggml_blocks.h"
#include "numbers/nvfp4.h"

namespace nibble {
namespace {

struct BlockInfo {
  BlockKind kind;
  std::string_view name;
  size_t n_values;
  size_t n_bytes;
  void (*decode)(const uint8_t* block, float* values);
};

constexpr BlockInfo kBlockInfos[] = {
    {BlockKind::kQ4_0, "Q4_0", kQ4_0Values, kQ4_0Bytes, decode_q4_0},
    {BlockKind::kQ8_0, "Q8_0", kQ8_0Values, kQ8_0Bytes, decode_q8_0},
    {BlockKind::kQ4K, "Q4_K", kKValues, kQ4KBytes, decode_q4_k},
    {BlockKind::kQ5K, "Q5_K", kKValues, kQ5KBytes, decode_q5_k},
    {BlockKind::kQ6K, "Q6_K", kKValues, kQ6KBytes, decode_q6_k},
    {BlockKind::kNvfp4, "NVFP4", kGgufNvfp4Values, kGgufNvfp4Bytes, decode_gguf_nvfp4},
};

const BlockInfo& block_info(BlockKind kind) {
  const BlockInfo& info = kBlockInfos[static_cast<size_t>(kind)];
  CHECK(info.kind == kind);
  return info;
}

// What GGUF reads as zero is a NaN elsewhere.
uint8_t zero_if_nan(uint8_t scale) { return scale == 0x7f ? 0 : scale; }

const uint8_t* as_codes(std::span<const std::byte> bytes) {
  return reinterpret_cast<const uint8_t*>(bytes.data());
}

uint64_t plain_rows(const TensorView& view) {
  uint64_t rows = 1;
  for (size_t i = 0; i + 1 < view.shape.size(); ++i) rows *= view.shape[i];
  return rows;
}

void decode_fp8(const Fp8MatrixView& matrix, uint64_t first_row, uint64_t n_rows, float* out) {
  for (uint64_t r = first_row; r < first_row + n_rows; ++r) {
    const float scale = matrix.scales[matrix.scales.size() == 1 ? 0 : r];
    const uint8_t* codes = matrix.codes.data() + r * matrix.cols;
    for (uint64_t c = 0; c < matrix.cols; ++c) *out++ = e4m3_to_f32(codes[c]) * scale;
  }
}

// By way of the canonical form, so that both round alike.
void decode_nvfp4(const uint8_t* block, float tensor_scale, float* values) {
  uint8_t scales[4];
  uint8_t codes[kGgufNvfp4Values / 2];
  unpack_gguf_nvfp4(block, scales, codes);
  for (size_t i = 0; i < 4; ++i) {
    nvfp4_decode_block(codes + i * kNvfp4BlockBytes, zero_if_nan(scales[i]), tensor_scale,
                       values + i * kNvfp4BlockSize);
  }
}

void decode_blocks(const BlockMatrixView& matrix, uint64_t first_row, uint64_t n_rows,
                   std::span<float> out) {
  const BlockInfo& info = block_info(matrix.kind);
  const uint64_t row_blocks = matrix.cols / info.n_values;
  const uint8_t* block = as_codes(matrix.bytes) + first_row * row_blocks * info.n_bytes;
  float* values = out.data();
  for (uint64_t i = 0; i < n_rows * row_blocks; ++i) {
    if (matrix.kind == BlockKind::kNvfp4) {
      decode_nvfp4(block, matrix.tensor_scale, values);
    } else {
      info.decode(block, values);
    }
    block += info.n_bytes;
    values += info.n_values;
  }
}

bool is_product(uint64_t found, uint64_t a, uint64_t b, uint64_t c) {
  const auto ab = checked_mul(a, b);
  return ab && checked_mul(*ab, c) == found;
}

struct RowsOf {
  uint64_t operator()(const TensorView& view) const { return plain_rows(view); }
  template <typename View>
  uint64_t operator()(const View& view) const {
    return view.rows;
  }
};

struct ColsOf {
  uint64_t operator()(const TensorView& view) const {
    return view.shape.empty() ? 1 : view.shape.back();
  }
  template <typename View>
  uint64_t operator()(const View& view) const {
    return view.cols;
  }
};

struct Whole {
  bool operator()(const TensorView& view) const {
    const auto n = n_elements(view.shape);
    return n && checked_mul(*n, dtype_bytes(view.dtype)) == view.bytes.size();
  }
  bool operator()(const QuantizedMatrixView& view) const {
    const uint64_t blocks = view.cols / kNvfp4BlockSize;
    return view.cols % kNvfp4BlockSize == 0 &&
           is_product(view.codes.size(), view.rows, blocks, kNvfp4BlockBytes) &&
           is_product(view.scales.size(), view.rows, blocks, 1);
  }
  bool operator()(const Fp8MatrixView& view) const {
    return is_product(view.codes.size(), view.rows, view.cols, 1) &&
           (view.scales.size() == 1 || view.scales.size() == view.rows);
  }
  bool operator()(const BlockMatrixView& view) const {
    const BlockInfo& info = block_info(view.kind);
    return view.cols % info.n_values == 0 &&
           is_product(view.bytes.size(), view.rows, view.cols / info.n_values, info.n_bytes);
  }
};

}  // namespace

std::string_view block_kind_name(BlockKind kind) { return block_info(kind).name; }
uint64_t block_values(BlockKind kind) { return block_info(kind).n_values; }
uint64_t block_bytes(BlockKind kind) { return block_info(kind).n_bytes; }

uint64_t matrix_rows(const MatrixSource& source) { return std::visit(RowsOf{}, source); }
uint64_t matrix_cols(const MatrixSource& source) { return std::visit(ColsOf{}, source); }
bool has_whole_bytes(const MatrixSource& source) { return std::visit(Whole{}, source); }

MatrixSource slice_rows(const MatrixSource& source, uint64_t first_row, uint64_t n_rows) {
  const uint64_t rows = matrix_rows(source);
  CHECK(first_row <= rows && n_rows <= rows - first_row);
  const uint64_t cols = matrix_cols(source);
  const auto part = [&](auto bytes, uint64_t row_bytes) {
    return bytes.subspan(first_row * row_bytes, n_rows * row_bytes);
  };
  if (const auto* plain = std::get_if<TensorView>(&source)) {
    return TensorView{
        plain->dtype, {n_rows, cols}, part(plain->bytes, cols * dtype_bytes(plain->dtype))};
  }
  if (const auto* nvfp4 = std::get_if<QuantizedMatrixView>(&source)) {
    QuantizedMatrixView view = *nvfp4;
    view.rows = n_rows;
    view.codes = part(view.codes, cols / 2);
    view.scales = part(view.scales, cols / kNvfp4BlockSize);
    return view;
  }
  if (const auto* fp8 = std::get_if<Fp8MatrixView>(&source)) {
    Fp8MatrixView view = *fp8;
    view.rows = n_rows;
    view.codes = part(view.codes, cols);
    if (view.scales.size() > 1) view.scales = part(view.scales, 1);
    return view;
  }
  BlockMatrixView view = std::get<BlockMatrixView>(source);
  view.rows = n_rows;
  view.bytes = part(view.bytes, cols / block_values(view.kind) * block_bytes(view.kind));
  return view;
}

Status decode_rows(const MatrixSource& source, uint64_t first_row, uint64_t n_rows,
                   std::span<float> out) {
  const uint64_t rows = matrix_rows(source);
  CHECK(first_row <= rows && n_rows <= rows - first_row);
  CHECK(out.size() == n_rows * matrix_cols(source));
  if (const auto* nvfp4 = std::get_if<QuantizedMatrixView>(&source)) {
    dequantize_rows(*nvfp4, first_row, n_rows, out);
  } else if (const auto* fp8 = std::get_if<Fp8MatrixView>(&source)) {
    decode_fp8(*fp8, first_row, n_rows, out.data());
  } else if (const auto* blocks = std::get_if<BlockMatrixView>(&source)) {
    decode_blocks(*blocks, first_row, n_rows, out);
  } else {
    return to_f32(std::get<TensorView>(slice_rows(source, first_row, n_rows)), out);
  }
  return {};
}

QuantizedMatrix canonical_nvfp4(const BlockMatrixView& matrix) {
  CHECK(matrix.kind == BlockKind::kNvfp4 && has_whole_bytes(matrix));
  QuantizedMatrix out;
  out.rows = matrix.rows;
  out.cols = matrix.cols;
  out.tensor_scale = matrix.tensor_scale;
  out.input_scale = matrix.input_scale;
  const size_t n_blocks = matrix.bytes.size() / kGgufNvfp4Bytes;
  out.codes.resize(n_blocks * kGgufNvfp4Values / 2);
  out.scales.resize(n_blocks * 4);
  for (size_t i = 0; i < n_blocks; ++i) {
    unpack_gguf_nvfp4(as_codes(matrix.bytes) + i * kGgufNvfp4Bytes, out.scales.data() + i * 4,
                      out.codes.data() + i * 32);
  }
  for (uint8_t& scale : out.scales) scale = zero_if_nan(scale);
  return out;
}

}  // namespace nibble
