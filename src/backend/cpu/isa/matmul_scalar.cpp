// Reference matrix products: each weight row is decoded to F32 once, then multiplied with every
// token in double precision, so that the only roundings are those of inputs and results.
#include "backend/cpu/isa/scalar.h"
#include "core/bytes.h"
#include "numbers/bf16.h"
#include "numbers/e4m3.h"
#include "numbers/nvfp4.h"

namespace nibble::scalar {
namespace {

// Four partial sums keep the adders busy; they are added in one fixed order.
double dot(const float* a, const float* b, size_t n) {
  double sum[4] = {0.0, 0.0, 0.0, 0.0};
  size_t i = 0;
  for (; i + 4 <= n; i += 4) {
    for (size_t lane = 0; lane < 4; ++lane) {
      sum[lane] += static_cast<double>(a[i + lane]) * static_cast<double>(b[i + lane]);
    }
  }
  for (; i < n; ++i) sum[0] += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

}  // namespace

void decode_row(const WeightView& weight, size_t row, float* out) {
  const size_t first = row * weight.cols;
  const auto* bytes = static_cast<const uint8_t*>(weight.elements);
  switch (weight.kind) {
    case MatrixKind::kF32:
      std::memcpy(out, bytes + first * sizeof(float), weight.cols * sizeof(float));
      break;
    case MatrixKind::kBF16:
      for (size_t c = 0; c < weight.cols; ++c) {
        out[c] = bf16_to_f32(load_le<uint16_t>(bytes + 2 * (first + c)));
      }
      break;
    case MatrixKind::kF16:
      for (size_t c = 0; c < weight.cols; ++c) {
        out[c] = f16_to_f32(load_le<uint16_t>(bytes + 2 * (first + c)));
      }
      break;
    case MatrixKind::kNvfp4:
      for (size_t c = 0; c < weight.cols; ++c) {
        const uint8_t pair = bytes[(first + c) / 2];
        const uint8_t code = c % 2 == 0 ? pair & 15u : pair >> 4;
        out[c] =
            e2m1_to_f32(code) * weight.scale_values[weight.scales[(first + c) / kNvfp4BlockSize]];
      }
      break;
    case MatrixKind::kFp8: {
      const float scale = weight.row_scales[row * weight.row_scale_step];
      for (size_t c = 0; c < weight.cols; ++c) out[c] = e4m3_to_f32(bytes[first + c]) * scale;
      break;
    }
    case MatrixKind::kQ4_0:
    case MatrixKind::kQ8_0:
    case MatrixKind::kQ4K:
    case MatrixKind::kQ5K:
    case MatrixKind::kQ6K: {
      const BlockDecoder& blocks = *weight.block_decoder;
      const uint8_t* block = bytes + first / blocks.n_values * blocks.n_bytes;
      for (size_t c = 0; c < weight.cols; c += blocks.n_values, block += blocks.n_bytes) {
        blocks.decode(block, out + c);
      }
      break;
    }
  }
}

void gemv(const WeightView& weight, Range rows, const float* x, size_t n_tokens,
          const ProductOut& out, float* scratch) {
  for (size_t r = rows.begin; r < rows.end; ++r) {
    decode_row(weight, r, scratch);
    for (size_t t = 0; t < n_tokens; ++t) {
      float& place = out.data[t * out.stride + r];
      const double product = dot(scratch, x + t * weight.cols, weight.cols);
      place = static_cast<float>(out.accumulate ? static_cast<double>(place) + product : product);
    }
  }
}

}  // namespace nibble::scalar
