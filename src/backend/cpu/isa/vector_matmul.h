// Matrix products in F32 with weights decoded in registers.
//
// Few tokens (gemv): the weights are read once, where they lie. A group of weight rows goes along
// the columns together: one vector of each row is decoded, multiplied with the same columns of up
// to six tokens, and summed per (row, token) in registers. The sums across lanes come last. Up to
// twelve tokens two such passes are faster than decoding panels. Blocks of GGUF are decoded 256
// columns at a time into L1 first.
//
// Many tokens (gemm): tokens were packed as [tile of kRows tokens][column][token in tile]. A range
// of weight rows is decoded, in slices of kSliceCols columns, into panels [column][2 L rows], and
// all token tiles run over one panel after the other. A panel of 256 columns is 32 KB (AVX-512) or
// 16 KB (AVX2) and stays in L1; the tokens' slice, 0.5 MB for 512 of them, streams from L2.
//
// Measured on one core of a Xeon (Sapphire Rapids, 48 KB L1, 2 MB L2), other programs running, peak
// measured as 205 GFLOP/s (AVX-512) and 103 (AVX2); 512 tokens, BF16 or NVFP4 weights:
// [768, 256] 130 to 158 (63 to 77 %) and 68 to 73 (66 to 71 %); [8192, 256] 125 to 147 (61 to 72
// %); [4096, 4096] 114 to 132 (55 to 64 %) and 60 to 71 (58 to 69 %). One token: 25 GB/s of
// BF16, 6.8 GB/s of NVFP4 (decoding bound) with AVX-512.
#pragma once

#include "backend/cpu/isa/vector_tile.h"
#include "backend/cpu/isa/vector_weight_row.h"
#include "backend/cpu/kernels.h"

namespace nibble {

template <class S, class Row>
struct VectorMatmul {
  using V = typename S::V;
  using RegisterTile = Tile<S>;

  static constexpr size_t kGroupTokens = 6;
  static constexpr size_t kMaxGemvTokens = 2 * kGroupTokens;
  static constexpr size_t kSliceCols = 256;
  static constexpr size_t kMaxRows = 128;
  // One line more than a slice, so that the rows of a strip fall into different cache sets.
  static constexpr size_t kStripStride = kSliceCols + 16;
  static constexpr size_t kPanelFloats = kMaxRows * kSliceCols;
  static constexpr size_t kStripFloats = S::kLanes * kStripStride;
  static constexpr size_t kScratchFloats =
      kPanelFloats + kStripFloats + RegisterTile::kRows * RegisterTile::kCols;

  struct Work {
    float* panels;  // [kMaxRows / kCols, kSliceCols, kCols]
    float* strip;   // [lanes, kStripStride]
    float* edge;    // [kRows, kCols], for rows that do not fill a panel
  };

  static void gemv(const WeightView& weight, Range rows, const float* x, size_t n_tokens,
                   const ProductOut& out) {
    for (size_t t = 0; t < n_tokens; t += kGroupTokens) {
      const size_t left = n_tokens - t;
      gemv_tokens(weight, rows, x + t * weight.cols, left < kGroupTokens ? left : kGroupTokens,
                  {out.data + t * out.stride, out.stride, out.accumulate});
    }
  }

  static void gemm(const WeightView& weight, Range rows, const float* packed, size_t n_tokens,
                   const ProductOut& out, float* scratch) {
    const Work work{scratch, scratch + kPanelFloats, scratch + kPanelFloats + kStripFloats};
    size_t first = 0;
    do {  // once even without columns: the result is then zero
      const size_t left = weight.cols - first;
      const size_t n_cols = left < kSliceCols ? left : kSliceCols;
      decode_panels(weight, rows, first, n_cols, work);
      multiply_slice(rows, packed + first * RegisterTile::kRows, weight.cols, n_cols, n_tokens,
                     {out.data, out.stride, out.accumulate || first != 0}, work);
      first += kSliceCols;
    } while (first < weight.cols);
  }

  static void decode_row(const WeightView& weight, size_t row, float* out) {
    Row(weight, row).decode(0, weight.cols, out);
  }

 private:
  static void gemv_tokens(const WeightView& weight, Range rows, const float* x, size_t n_tokens,
                          const ProductOut& out) {
    if (n_tokens == 1) return gemv_rows<8, 1>(weight, rows, x, out);
    if (n_tokens == 2) return gemv_rows<8, 2>(weight, rows, x, out);
    if (n_tokens == 3) return gemv_rows<4, 3>(weight, rows, x, out);
    if (n_tokens == 4) return gemv_rows<4, 4>(weight, rows, x, out);
    if (n_tokens == 5) return gemv_rows<4, 5>(weight, rows, x, out);
    return gemv_rows<4, 6>(weight, rows, x, out);
  }

  template <size_t kRows, size_t kTokens>
  static void gemv_rows(const WeightView& weight, Range rows, const float* x,
                        const ProductOut& out) {
    size_t r = rows.begin;
    for (; r + kRows <= rows.end; r += kRows) gemv_group<kRows, kTokens>(weight, r, x, out);
    for (; r < rows.end; ++r) gemv_group<1, kTokens>(weight, r, x, out);
  }

  template <size_t kRows, size_t kTokens>
  static void gemv_group(const WeightView& weight, size_t first, const float* x,
                         const ProductOut& out) {
    V sums[kRows][kTokens];
#pragma GCC unroll 8
    for (size_t r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
      for (size_t t = 0; t < kTokens; ++t) sums[r][t] = S::zero();
    }
    if constexpr (Row::kInRegisters) {
      const size_t n_vectors = weight.cols / S::kLanes;
      add_products<kRows, kTokens>(
          n_vectors, x, weight.cols,
          [&](size_t r, size_t c) { return Row(weight, first + r).load(c); }, sums);
    } else {
      alignas(64) float strips[kRows][kSliceCols];
      for (size_t begin = 0; begin < weight.cols; begin += kSliceCols) {
        const size_t left = weight.cols - begin;
        const size_t n_cols = left < kSliceCols ? left : kSliceCols;  // whole vectors: whole blocks
        for (size_t r = 0; r < kRows; ++r) Row(weight, first + r).decode(begin, n_cols, strips[r]);
        add_products<kRows, kTokens>(
            n_cols / S::kLanes, x + begin, weight.cols,
            [&](size_t r, size_t c) { return S::load(strips[r] + c); }, sums);
      }
    }
    for (size_t r = 0; r < kRows; ++r) {
      for (size_t t = 0; t < kTokens; ++t) {
        float sum = S::sum(sums[r][t]);
        if constexpr (Row::kInRegisters) {
          const Row row(weight, first + r);
          for (size_t i = weight.cols / S::kLanes * S::kLanes; i < weight.cols; ++i) {
            sum += row.element(i) * x[t * weight.cols + i];
          }
        }
        float& place = out.data[t * out.stride + first + r];
        place = out.accumulate ? place + sum : sum;
      }
    }
  }

  // sums[r][t] += the products of n_vectors vectors of columns; load(r, c) gives the weights.
  template <size_t kRows, size_t kTokens, class Load>
  static void add_products(size_t n_vectors, const float* x, size_t cols, const Load& load,
                           V (&sums)[kRows][kTokens]) {
    for (size_t c = 0; c < n_vectors * S::kLanes; c += S::kLanes) {
      V tokens[kTokens];
#pragma GCC unroll 8
      for (size_t t = 0; t < kTokens; ++t) tokens[t] = S::load(x + t * cols + c);
#pragma GCC unroll 8
      for (size_t r = 0; r < kRows; ++r) {
        const V w = load(r, c);
#pragma GCC unroll 8
        for (size_t t = 0; t < kTokens; ++t) sums[r][t] = S::fma(w, tokens[t], sums[r][t]);
      }
    }
  }

  // Panels [n_cols][kCols rows] of the range, one after the other, kSliceCols apart. Rows are
  // decoded one after the other into a strip first: transposing where they lie would walk down as
  // many distant cache lines as there are lanes, all of the same set for common widths.
  static void decode_panels(const WeightView& weight, Range rows, size_t first, size_t n_cols,
                            const Work& work) {
    constexpr size_t kCols = RegisterTile::kCols;
    float* panel = work.panels;
    for (size_t r = rows.begin; r < rows.end; r += kCols, panel += kSliceCols * kCols) {
      for (size_t half = 0; half < kCols; half += S::kLanes) {
        const size_t begin = r + half < rows.end ? r + half : rows.end;
        const size_t n = rows.end - begin < S::kLanes ? rows.end - begin : S::kLanes;
        for (size_t i = 0; i < n; ++i) {
          Row(weight, begin + i).decode(first, n_cols, work.strip + i * kStripStride);
        }
        RegisterTile::transpose_floats(n, n_cols, S::kLanes, {work.strip, kStripStride},
                                       panel + half, kCols);
      }
    }
  }

  static void multiply_slice(Range rows, const float* packed, size_t cols, size_t n_cols,
                             size_t n_tokens, const ProductOut& out, const Work& work) {
    constexpr size_t kCols = RegisterTile::kCols;
    constexpr size_t kTokens = RegisterTile::kRows;
    const float* panel = work.panels;
    for (size_t r = rows.begin; r < rows.end; r += kCols, panel += kSliceCols * kCols) {
      const float* tile = packed;
      for (size_t t = 0; t < n_tokens; t += kTokens, tile += cols * kTokens) {
        const size_t n = n_tokens - t < kTokens ? n_tokens - t : kTokens;
        float* place = out.data + t * out.stride + r;
        if (rows.end - r >= kCols) {
          RegisterTile::multiply(n, n_cols, {tile, kTokens}, {panel, kCols}, place, out.stride,
                                 out.accumulate ? 1.0f : 0.0f);
        } else {
          RegisterTile::multiply(n, n_cols, {tile, kTokens}, {panel, kCols}, work.edge, kCols,
                                 0.0f);
          copy_edge(work.edge, n, rows.end - r, place, out);
        }
      }
    }
  }

  static void copy_edge(const float* edge, size_t n_tokens, size_t n_rows, float* place,
                        const ProductOut& out) {
    for (size_t t = 0; t < n_tokens; ++t) {
      for (size_t r = 0; r < n_rows; ++r) {
        const float sum = edge[t * RegisterTile::kCols + r];
        float& to = place[t * out.stride + r];
        to = out.accumulate ? to + sum : sum;
      }
    }
  }
};

/// The entries of MatmulKernels: one switch over the kind of the weights each.
template <class S>
struct MatmulEntries {
  template <class Call>
  static void by_kind(MatrixKind kind, const Call& call) {
    switch (kind) {
      case MatrixKind::kF32:
        return call(VectorMatmul<S, WeightRow<S, MatrixKind::kF32>>{});
      case MatrixKind::kBF16:
        return call(VectorMatmul<S, WeightRow<S, MatrixKind::kBF16>>{});
      case MatrixKind::kF16:
        return call(VectorMatmul<S, WeightRow<S, MatrixKind::kF16>>{});
      case MatrixKind::kNvfp4:
        return call(VectorMatmul<S, WeightRow<S, MatrixKind::kNvfp4>>{});
      case MatrixKind::kFp8:
        return call(VectorMatmul<S, WeightRow<S, MatrixKind::kFp8>>{});
      case MatrixKind::kQ4_0:
      case MatrixKind::kQ8_0:
      case MatrixKind::kQ4K:
      case MatrixKind::kQ5K:
      case MatrixKind::kQ6K:
        return call(VectorMatmul<S, BlockRow<S>>{});
    }
  }

  static void gemv(const WeightView& weight, Range rows, const float* x, size_t n_tokens,
                   const ProductOut& out, float* /*scratch*/) {
    by_kind(weight.kind, [&](auto kernel) { kernel.gemv(weight, rows, x, n_tokens, out); });
  }

  static void gemm(const WeightView& weight, Range rows, const float* packed, size_t n_tokens,
                   const ProductOut& out, float* scratch) {
    by_kind(weight.kind,
            [&](auto kernel) { kernel.gemm(weight, rows, packed, n_tokens, out, scratch); });
  }

  static void decode_row(const WeightView& weight, size_t row, float* out) {
    by_kind(weight.kind, [&](auto kernel) { kernel.decode_row(weight, row, out); });
  }

  static void pack_tokens(const float* x, size_t n_tokens, size_t cols, Range tiles,
                          float* packed) {
    constexpr size_t kTokens = Tile<S>::kRows;
    for (size_t tile = tiles.begin; tile < tiles.end; ++tile) {
      const float* in = x + tile * kTokens * cols;
      const size_t left = n_tokens - tile * kTokens;
      const size_t n = left < kTokens ? left : kTokens;
      float* out = packed + tile * kTokens * cols;
      for (size_t c = 0; c < cols; ++c) {
        for (size_t t = 0; t < n; ++t) out[c * kTokens + t] = in[t * cols + c];
      }
    }
  }

  static constexpr MatmulKernels table() {
    using Any = VectorMatmul<S, BlockRow<S>>;
    return {Any::kMaxGemvTokens, gemv,        Tile<S>::kRows, Tile<S>::kCols, Any::kMaxRows,
            Any::kScratchFloats, pack_tokens, gemm,           decode_row};
  }
};

}  // namespace nibble
