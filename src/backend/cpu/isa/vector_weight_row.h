// One row of a weight matrix, decoded as products need it.
//
// The plain kinds, NVFP4 and FP8 are decoded in registers, one vector of columns at a time. Blocks
// of GGUF are decoded whole, into memory, by one function a kind that is not written for any
// instruction set.
#pragma once

#include "backend/cpu/kernels.h"

namespace nibble {

/// Decoded in registers.
template <class S, MatrixKind kKind>
struct WeightRow {
  using V = typename S::V;
  static constexpr bool kInRegisters = true;
  const uint8_t* elements;
  const uint8_t* scales = nullptr;
  const float* scale_values = nullptr;
  float row_scale = 1.0f;

  WeightRow(const WeightView& weight, size_t row) {
    const auto* bytes = static_cast<const uint8_t*>(weight.elements);
    if constexpr (kKind == MatrixKind::kNvfp4) {
      elements = bytes + row * weight.cols / 2;
      scales = weight.scales + row * weight.cols / 16;
      scale_values = weight.scale_values;
    } else {
      elements = bytes + row * weight.cols * kElementBytes;
    }
    if constexpr (kKind == MatrixKind::kFp8) {
      row_scale = S::kE4m3Factor * weight.row_scales[row * weight.row_scale_step];
    }
  }

  /// Columns c to c + L; c is a multiple of L.
  V load(size_t c) const {
    if constexpr (kKind == MatrixKind::kF32) return S::load_f32(elements + 4 * c);
    if constexpr (kKind == MatrixKind::kBF16) return S::load_bf16(elements + 2 * c);
    if constexpr (kKind == MatrixKind::kF16) return S::load_f16(elements + 2 * c);
    if constexpr (kKind == MatrixKind::kFp8) {
      return S::mul(S::load_e4m3(elements + c), S::set1(row_scale));
    }
    if constexpr (kKind == MatrixKind::kNvfp4) {
      return S::mul(S::load_e2m1(elements + c / 2), S::set1(scale_values[scales[c / 16]]));
    }
  }

  /// One column, by way of a vector whose other lanes are copies of it or zero.
  float element(size_t c) const {
    float values[S::kLanes];
    if constexpr (kKind == MatrixKind::kNvfp4) {
      S::store(values, load(c / S::kLanes * S::kLanes));
      return values[c % S::kLanes];
    } else {
      alignas(64) uint8_t copy[S::kLanes * 4] = {};
      for (size_t i = 0; i < kElementBytes; ++i) copy[i] = elements[c * kElementBytes + i];
      WeightRow alone = *this;
      alone.elements = copy;
      S::store(values, alone.load(0));
      return values[0];
    }
  }

  /// Columns [first, first + n); first is a multiple of the lanes.
  void decode(size_t first, size_t n, float* out) const {
    size_t c = 0;
    for (; c + S::kLanes <= n; c += S::kLanes) S::store(out + c, load(first + c));
    for (; c < n; ++c) out[c] = element(first + c);
  }

 private:
  static constexpr size_t kElementBytes = kKind == MatrixKind::kF32   ? 4
                                          : kKind == MatrixKind::kFp8 ? 1
                                                                      : 2;
};

/// Decoded block after block. A template so that each instruction set has its own.
template <class S>
struct BlockRow {
  static constexpr bool kInRegisters = false;
  const BlockDecoder* decoder;
  const uint8_t* blocks;

  BlockRow(const WeightView& weight, size_t row)
      : decoder(weight.block_decoder),
        blocks(static_cast<const uint8_t*>(weight.elements) +
               row * (weight.cols / decoder->n_values) * decoder->n_bytes) {}

  /// Columns [first, first + n); both are whole blocks.
  void decode(size_t first, size_t n, float* out) const {
    const uint8_t* block = blocks + first / decoder->n_values * decoder->n_bytes;
    for (size_t c = 0; c < n; c += decoder->n_values, block += decoder->n_bytes) {
      decoder->decode(block, out + c);
    }
  }
};

}  // namespace nibble
