// The register tile that every larger product is made of, and the transposition that feeds it.
//
// c[m, 0..2L) = keep * c[m, 0..2L) + sum_k a[k, m] * b[k, 0..2L) for up to kTileRows rows m and 2
// vectors of L lanes: each step loads two vectors of b, broadcasts one a after the other and keeps
// all sums in registers. 14 x 2 vectors (AVX-512) need 2 + 14 loads for 28 multiply-adds, 6 x 2
// (AVX2) need 2 + 6 for 12, so two load ports keep two multipliers busy. b comes from L2 or nearer.
#pragma once

#include <cstddef>
#include <cstdint>

namespace nibble {

/// Rows at a fixed distance, in floats.
struct Strided {
  const float* data;
  size_t stride;
};

template <class S>
struct Tile {
  using V = typename S::V;
  static constexpr size_t kRows = S::kTileRows;
  static constexpr size_t kCols = 2 * S::kLanes;

  /// n_rows rows (1 to kRows) of c, kCols wide. a holds row m of the product in column m. With keep
  /// 0, c is not read.
  static void multiply(size_t n_rows, size_t n_k, Strided a, Strided b, float* c, size_t c_stride,
                       float keep) {
    Dispatch<kRows>::run(n_rows, n_k, a, b, c, c_stride, keep);
  }

  /// The same for any number of rows and a multiple of kCols columns.
  static void multiply_all(size_t n_rows, size_t n_cols, size_t n_k, Strided a, Strided b, float* c,
                           size_t c_stride, float keep) {
    for (size_t n = 0; n < n_cols; n += kCols) {
      for (size_t m = 0; m < n_rows; m += kRows) {
        const size_t rows = n_rows - m < kRows ? n_rows - m : kRows;
        multiply(rows, n_k, {a.data + m, a.stride}, {b.data + n, b.stride}, c + m * c_stride + n,
                 c_stride, keep);
      }
    }
  }

  /// out[i, r] = row r's value at column i, for n_rows rows and n_cols columns; out is padded with
  /// zero columns up to out_cols (a multiple of the lanes). load(row, column) gives S::kLanes
  /// values, element(row, column) one.
  template <class Load, class Element>
  static void transpose(size_t n_rows, size_t n_cols, size_t out_cols, const Load& load,
                        const Element& element, float* out, size_t out_stride) {
    constexpr size_t kLanes = S::kLanes;
    for (size_t r = 0; r < out_cols; r += kLanes) {
      size_t c = 0;
      for (; c + kLanes <= n_cols; c += kLanes) {
        V block[kLanes];
#pragma GCC unroll 16
        for (size_t i = 0; i < kLanes; ++i) {
          block[i] = r + i < n_rows ? load(r + i, c) : S::zero();
        }
        S::transpose(block);
#pragma GCC unroll 16
        for (size_t i = 0; i < kLanes; ++i) S::store(out + (c + i) * out_stride + r, block[i]);
      }
      for (; c < n_cols; ++c) {
        for (size_t i = 0; i < kLanes; ++i) {
          out[c * out_stride + r + i] = r + i < n_rows ? element(r + i, c) : 0.0f;
        }
      }
    }
  }

  /// transpose() of plain floats.
  static void transpose_floats(size_t n_rows, size_t n_cols, size_t out_cols, Strided in,
                               float* out, size_t out_stride) {
    transpose(
        n_rows, n_cols, out_cols,
        [&](size_t r, size_t c) { return S::load(in.data + r * in.stride + c); },
        [&](size_t r, size_t c) { return in.data[r * in.stride + c]; }, out, out_stride);
  }

 private:
  template <size_t kM>
  static void fixed(size_t n_k, Strided a, Strided b, float* c, size_t c_stride, float keep) {
    V low[kM];
    V high[kM];
#pragma GCC unroll 16
    for (size_t m = 0; m < kM; ++m) {
      low[m] = high[m] = S::zero();
      // The rows of c lie far apart and are needed only at the end.
      __builtin_prefetch(c + m * c_stride, 1);
      __builtin_prefetch(c + m * c_stride + kCols - 1, 1);
    }
    const float* a_row = a.data;
    const float* b_row = b.data;
    for (size_t k = 0; k < n_k; ++k, a_row += a.stride, b_row += b.stride) {
      const V b_low = S::load(b_row);
      const V b_high = S::load(b_row + S::kLanes);
#pragma GCC unroll 16
      for (size_t m = 0; m < kM; ++m) {
        const V factor = S::set1(a_row[m]);
        low[m] = S::fma(factor, b_low, low[m]);
        high[m] = S::fma(factor, b_high, high[m]);
      }
    }
#pragma GCC unroll 16
    for (size_t m = 0; m < kM; ++m) {
      float* row = c + m * c_stride;
      if (keep != 0.0f) {
        low[m] = S::fma(S::set1(keep), S::load(row), low[m]);
        high[m] = S::fma(S::set1(keep), S::load(row + S::kLanes), high[m]);
      }
      S::store(row, low[m]);
      S::store(row + S::kLanes, high[m]);
    }
  }

  template <size_t kM, class = void>
  struct Dispatch {
    static void run(size_t n_rows, size_t n_k, Strided a, Strided b, float* c, size_t c_stride,
                    float keep) {
      if (n_rows == kM) {
        fixed<kM>(n_k, a, b, c, c_stride, keep);
      } else {
        Dispatch<kM - 1>::run(n_rows, n_k, a, b, c, c_stride, keep);
      }
    }
  };
  template <class Unused>
  struct Dispatch<0, Unused> {
    static void run(size_t, size_t, Strided, Strided, float*, size_t, bool) {}
  };
};

}  // namespace nibble
