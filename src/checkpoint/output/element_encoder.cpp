#include "checkpoint/output/element_encoder.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/bytes.h"
#include "core/check.h"
#include "numbers/bf16.h"
#include "numbers/ggml_blocks.h"

namespace nibble {
namespace {

constexpr uint64_t kPieceValues = uint64_t{1} << 20;

bool is_type(DType dtype, GgufType type) {
  return (dtype == DType::kF32 && type == GgufType::kF32) ||
         (dtype == DType::kF16 && type == GgufType::kF16) ||
         (dtype == DType::kBF16 && type == GgufType::kBF16);
}

void change_values(std::span<float> values, ValueChange change) {
  if (change == ValueChange::kPlusOne) {
    for (float& value : values) value += 1.0f;
  } else if (change == ValueChange::kMinusExp) {
    for (float& value : values) {
      value = static_cast<float>(-std::exp(static_cast<double>(value)));
    }
  }
}

void encode(std::span<const float> values, GgufType type, std::vector<std::byte>& out) {
  if (type == GgufType::kF32) {
    const auto bytes = std::as_bytes(values);
    out.assign(bytes.begin(), bytes.end());
  } else if (type == GgufType::kQ8_0) {
    out.resize(values.size() / kQ8_0Values * kQ8_0Bytes);
    for (size_t i = 0; i < values.size() / kQ8_0Values; ++i) {
      encode_q8_0(values.data() + i * kQ8_0Values,
                  reinterpret_cast<uint8_t*>(out.data()) + i * kQ8_0Bytes);
    }
  } else {
    CHECK(type == GgufType::kF16 || type == GgufType::kBF16);
    out.resize(values.size() * 2);
    for (size_t i = 0; i < values.size(); ++i) {
      const uint16_t word = type == GgufType::kF16 ? f32_to_f16(values[i]) : f32_to_bf16(values[i]);
      store_le(out.data() + 2 * i, word);
    }
  }
}

}  // namespace

Status encode_elements(const MatrixSource& source, uint64_t first_row, uint64_t n_rows,
                       GgufType type, ValueChange change, const ByteSink& sink) {
  const uint64_t cols = matrix_cols(source);
  const auto* plain = std::get_if<TensorView>(&source);
  if (plain != nullptr && is_type(plain->dtype, type) && change == ValueChange::kNone) {
    const uint64_t row_bytes = cols * dtype_bytes(plain->dtype);
    return sink(plain->bytes.subspan(first_row * row_bytes, n_rows * row_bytes));
  }
  const uint64_t rows_a_piece = std::max<uint64_t>(1, kPieceValues / std::max<uint64_t>(cols, 1));
  std::vector<float> values;
  std::vector<std::byte> encoded;
  for (uint64_t done = 0; done < n_rows;) {
    const uint64_t n = std::min(rows_a_piece, n_rows - done);
    values.resize(n * cols);
    RETURN_IF_ERROR(decode_rows(source, first_row + done, n, values));
    change_values(values, change);
    encode(values, type, encoded);
    RETURN_IF_ERROR(sink(encoded));
    done += n;
  }
  return {};
}

}  // namespace nibble
