// The "avx512" row kernels.
//
// Sixteen blocks of 16 are one tile. Rounding to nearest: a tree of shuffles and maxima gives the
// sixteen largest magnitudes in one register, the E4M3 scales of all follow at once, then each
// block is divided and coded in its own register. A code is found by three additions that round to
// steps of 1/2, 1 and 2: the smallest of the three results is the code.
//
// The sweep transposes the tile, so that a lane is a block, and estimates the squared error of each
// candidate in F32 with one reciprocal instead of divisions. The estimate has a proven bound
// (kMargin). Where a candidate other than the best lies within it, the block is left to the plain
// arithmetic: about one block in a hundred of ordinary weights. So the result is always that of the
// definition.

// gcc 12 takes the deliberately undefined operands inside its own header for mistakes.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

#include <array>
#include <limits>

#include "numbers/nvfp4.h"
#include "quantize/methods/isa/row_kernels.h"
#include "quantize/methods/sweep.h"

namespace nibble {
namespace {

using V = __m512;
using I = __m512i;

constexpr size_t kTileBlocks = 16;

V magnitude(V x) { return _mm512_abs_ps(x); }

V load_block(const float* values, size_t block) {
  return _mm512_loadu_ps(values + block * kNvfp4BlockSize);
}

// Lane b: the largest of rows[b]. Each step halves the rows and the lanes that one block takes.
V largest_of_rows(V* rows) {
  for (size_t i = 0; i < 8; ++i) {
    rows[i] = _mm512_max_ps(_mm512_unpacklo_ps(rows[2 * i], rows[2 * i + 1]),
                            _mm512_unpackhi_ps(rows[2 * i], rows[2 * i + 1]));
  }
  for (size_t i = 0; i < 4; ++i) {
    const __m512d a = _mm512_castps_pd(rows[2 * i]);
    const __m512d b = _mm512_castps_pd(rows[2 * i + 1]);
    rows[i] = _mm512_max_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(a, b)),
                            _mm512_castpd_ps(_mm512_unpackhi_pd(a, b)));
  }
  for (size_t n = 2; n >= 1; --n) {
    for (size_t i = 0; i < n; ++i) {
      rows[i] = _mm512_max_ps(_mm512_shuffle_f32x4(rows[2 * i], rows[2 * i + 1], 0x88),
                              _mm512_shuffle_f32x4(rows[2 * i], rows[2 * i + 1], 0xdd));
    }
  }
  return rows[0];
}

// The lanes' E4M3 codes, 1 to 0x7e, as f32_to_e4m3 rounds non-negative numbers; at least 1.
I round_to_e4m3(V x) {
  const I bits = _mm512_castps_si512(x);
  const I odd = _mm512_and_si512(_mm512_srli_epi32(bits, 20), _mm512_set1_epi32(1));
  const I rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7ffff)));
  I code = _mm512_srli_epi32(_mm512_sub_epi32(rounded, _mm512_set1_epi32(120 << 23)), 20);
  // Subnormals have the unit 2^-9, which is the last place of 2^14.
  const V magic = _mm512_set1_ps(0x1p14f);
  const I small =
      _mm512_sub_epi32(_mm512_castps_si512(_mm512_add_ps(x, magic)), _mm512_castps_si512(magic));
  code = _mm512_mask_mov_epi32(code, _mm512_cmp_ps_mask(x, _mm512_set1_ps(0x1p-6f), _CMP_LT_OQ),
                               small);
  code = _mm512_mask_mov_epi32(code, _mm512_cmp_ps_mask(x, _mm512_set1_ps(kE4m3Max), _CMP_GE_OQ),
                               _mm512_set1_epi32(kE4m3MaxCode));
  return _mm512_max_epi32(code, _mm512_set1_epi32(kNvfp4MinScale));
}

V decode_e4m3(I code) {
  const I normal = _mm512_add_epi32(_mm512_slli_epi32(code, 20), _mm512_set1_epi32(120 << 23));
  const V small = _mm512_mul_ps(_mm512_cvtepi32_ps(code), _mm512_set1_ps(0x1p-9f));
  return _mm512_mask_mov_ps(_mm512_castsi512_ps(normal),
                            _mm512_cmplt_epi32_mask(code, _mm512_set1_epi32(8)), small);
}

// nvfp4_block_scale of sixteen blocks.
I nearest_scales(V amax, float tensor_scale) {
  const I code = round_to_e4m3(_mm512_div_ps(amax, _mm512_set1_ps(kE2m1Max * tensor_scale)));
  const __mmask16 zero = _mm512_cmp_ps_mask(amax, _mm512_setzero_ps(), _CMP_EQ_OQ);
  return _mm512_mask_mov_epi32(code, zero, _mm512_set1_epi32(kNvfp4ZeroBlockScale));
}

// Codes one block. The magic numbers 2^22, 2^23 and 2^24 have last places of 1/2, 1 and 2.
void encode_one(V values, V scale, uint8_t* packed) {
  constexpr int kBase = 0x4a800000;  // the bits of 2^22
  const V quotient = _mm512_div_ps(values, scale);
  const V m = magnitude(quotient);
  const I halves = _mm512_castps_si512(_mm512_add_ps(m, _mm512_set1_ps(0x1p22f)));
  const I ones = _mm512_castps_si512(_mm512_add_ps(m, _mm512_set1_ps(0x1p23f)));
  const I twos = _mm512_castps_si512(_mm512_add_ps(m, _mm512_set1_ps(0x1p24f)));
  I code = _mm512_min_epi32(halves, _mm512_sub_epi32(ones, _mm512_set1_epi32(0x800000 - 2)));
  code = _mm512_min_epi32(code, _mm512_sub_epi32(twos, _mm512_set1_epi32(0x1000000 - 4)));
  code = _mm512_min_epi32(code, _mm512_set1_epi32(kBase + 7));
  const __mmask16 negative = _mm512_cmp_ps_mask(quotient, _mm512_setzero_ps(), _CMP_LT_OQ);
  code = _mm512_mask_or_epi32(code, negative, code, _mm512_set1_epi32(8));
  // Two codes to a byte: the odd one moves from bit 32 of its pair to bit 4.
  constexpr int kFirstOrBothOthers = 0xf8;
  const I pairs = _mm512_ternarylogic_epi64(code, _mm512_srli_epi64(code, 28),
                                            _mm512_set1_epi64(0xf0), kFirstOrBothOthers);
  _mm_storel_epi64(reinterpret_cast<__m128i*>(packed), _mm512_cvtepi64_epi8(pairs));
}

void encode_tile(const float* values, size_t n, I scale_codes, float tensor_scale, uint8_t* codes,
                 uint8_t* scales) {
  alignas(64) std::array<float, kTileBlocks> products;
  _mm512_store_ps(products.data(),
                  _mm512_mul_ps(decode_e4m3(scale_codes), _mm512_set1_ps(tensor_scale)));
  const auto first = static_cast<__mmask16>((1u << n) - 1u);
  _mm512_mask_cvtepi32_storeu_epi8(scales, first, scale_codes);
  for (size_t b = 0; b < n; ++b) {
    encode_one(load_block(values, b), _mm512_set1_ps(products[b]), codes + b * kNvfp4BlockBytes);
  }
}

void load_magnitudes(const float* values, size_t n, V* rows) {
  for (size_t b = 0; b < n; ++b) rows[b] = magnitude(load_block(values, b));
  for (size_t b = n; b < kTileBlocks; ++b) rows[b] = _mm512_setzero_ps();
}

void rtn_blocks(const float* values, size_t n_blocks, float tensor_scale, uint8_t* codes,
                uint8_t* scales) {
  for (size_t b = 0; b < n_blocks; b += kTileBlocks) {
    const size_t n = n_blocks - b < kTileBlocks ? n_blocks - b : kTileBlocks;
    const float* tile = values + b * kNvfp4BlockSize;
    V rows[kTileBlocks];
    load_magnitudes(tile, n, rows);
    encode_tile(tile, n, nearest_scales(largest_of_rows(rows), tensor_scale), tensor_scale,
                codes + b * kNvfp4BlockBytes, scales + b);
  }
}

// Afterwards rows[i] holds what was lane i of every row.
void transpose(V* rows) {
  V pairs[16];
  for (size_t i = 0; i < 16; i += 2) {
    pairs[i] = _mm512_unpacklo_ps(rows[i], rows[i + 1]);
    pairs[i + 1] = _mm512_unpackhi_ps(rows[i], rows[i + 1]);
  }
  V fours[16];
  for (size_t i = 0; i < 16; i += 4) {
    for (size_t half = 0; half < 2; ++half) {
      const __m512d low = _mm512_castps_pd(pairs[i + half]);
      const __m512d high = _mm512_castps_pd(pairs[i + half + 2]);
      fours[i + 2 * half] = _mm512_castpd_ps(_mm512_unpacklo_pd(low, high));
      fours[i + 2 * half + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(low, high));
    }
  }
  for (size_t i = 0; i < 4; ++i) {
    const V a = _mm512_shuffle_f32x4(fours[i], fours[i + 4], 0x88);
    const V b = _mm512_shuffle_f32x4(fours[i], fours[i + 4], 0xdd);
    const V c = _mm512_shuffle_f32x4(fours[i + 8], fours[i + 12], 0x88);
    const V d = _mm512_shuffle_f32x4(fours[i + 8], fours[i + 12], 0xdd);
    rows[i] = _mm512_shuffle_f32x4(a, c, 0x88);
    rows[i + 8] = _mm512_shuffle_f32x4(a, c, 0xdd);
    rows[i + 4] = _mm512_shuffle_f32x4(b, d, 0x88);
    rows[i + 12] = _mm512_shuffle_f32x4(b, d, 0xdd);
  }
}

// Sum over the 16 elements of (x - nearest E2M1 magnitude)^2, x = magnitude / scale, per lane.
// Rounding to two significant bits, and to steps of 1/2 below 2, is adding and subtracting a number
// of x's own size times 2^22 (at least 1.5 * 2^22, whose last place is 1/2). Ties may fall to
// either side: both cost the same.
//   kClips  some x may be 7 or more, and round to more than the largest code
template <bool kClips>
V estimate(const V* magnitudes, V reciprocal) {
  const V shift = _mm512_mul_ps(reciprocal, _mm512_set1_ps(0x1p22f + 1.0f));
  const V least = _mm512_set1_ps(0x1.8p22f);
  [[maybe_unused]] const V most = _mm512_set1_ps(kE2m1Max);
  V sums[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
  for (size_t i = 0; i < kNvfp4BlockSize; ++i) {
    const V m = magnitudes[i];
    const V big = _mm512_max_ps(_mm512_mul_ps(m, shift), least);
    V level = _mm512_add_ps(_mm512_fmsub_ps(m, reciprocal, big), big);
    if constexpr (kClips) level = _mm512_min_ps(level, most);
    const V error = _mm512_fmsub_ps(m, reciprocal, level);
    sums[i % 2] = _mm512_fmadd_ps(error, error, sums[i % 2]);
  }
  return _mm512_add_ps(sums[0], sums[1]);
}

// How far an estimate may be off, as a share of scale^2 + error. For x below 11 an element's error
// is off by less than 2^-18: by the reciprocal, by the rounding of what readers decode, and by
// twice that where x is so near to a tie that the plain arithmetic takes the other side. So the sum
// S of 16 squares is off by less than 2 * 2^-18 * sum |e| <= 2^-15 sqrt(S) <= 2^-16 (1 + S). Its
// own rounding, 2^-20 S, is far less than the rest up to kMargin.
constexpr float kMargin = 0x1p-15f;

// Below this code the steps of the scale are coarse: x reaches 27 three steps down, and errors 2.5
// times as far off; and it may be 7 or more without a step. From there on, no more than 6.4.
constexpr int kCoarseScales = 8;

struct Choice {
  I codes;
  __mmask16 unsure;  // lanes whose best candidate the estimate cannot tell
};

template <bool kCoarse>
Choice choose_scales(const V* magnitudes, I nearest, float tensor_scale) {
  const V infinity = _mm512_set1_ps(std::numeric_limits<float>::infinity());
  const V margin = _mm512_mask_mov_ps(
      _mm512_set1_ps(kMargin), _mm512_cmplt_epi32_mask(nearest, _mm512_set1_epi32(kCoarseScales)),
      _mm512_set1_ps(4 * kMargin));
  I best = nearest;
  V least = infinity;       // upper bound of the best
  V least_low = infinity;   // lower bound of the best
  V second_low = infinity;  // least lower bound of all others
  for (const int step : kSweepSteps) {
    const I code = _mm512_add_epi32(nearest, _mm512_set1_epi32(step));
    const __mmask16 usable = _mm512_cmpge_epi32_mask(code, _mm512_set1_epi32(kNvfp4MinScale)) &
                             _mm512_cmple_epi32_mask(code, _mm512_set1_epi32(kE4m3MaxCode));
    const V scale = decode_e4m3(code);
    const V reciprocal =
        _mm512_div_ps(_mm512_set1_ps(1.0f), _mm512_mul_ps(scale, _mm512_set1_ps(tensor_scale)));
    const V sum = kCoarse || step < 0 ? estimate<true>(magnitudes, reciprocal)
                                      : estimate<false>(magnitudes, reciprocal);
    const V square = _mm512_mul_ps(scale, scale);
    const V bound = _mm512_mul_ps(_mm512_fmadd_ps(margin, sum, margin), square);
    const V high = _mm512_mask_mov_ps(infinity, usable, _mm512_fmadd_ps(sum, square, bound));
    const V low = _mm512_mask_mov_ps(infinity, usable, _mm512_fmsub_ps(sum, square, bound));
    const __mmask16 better = _mm512_cmp_ps_mask(high, least, _CMP_LT_OQ);
    second_low = _mm512_min_ps(second_low, _mm512_mask_mov_ps(low, better, least_low));
    best = _mm512_mask_mov_epi32(best, better, code);
    least = _mm512_min_ps(least, high);
    least_low = _mm512_mask_mov_ps(least_low, better, low);
  }
  return {best, _mm512_cmp_ps_mask(least, second_low, _CMP_NLT_UQ)};
}

// Reciprocals and squares of all scales stay normal numbers in between.
bool can_estimate(float tensor_scale) { return tensor_scale > 0x1p-90f && tensor_scale < 0x1p90f; }

void sweep_blocks(const float* values, size_t n_blocks, float tensor_scale, uint8_t* codes,
                  uint8_t* scales) {
  if (!can_estimate(tensor_scale)) {
    return scalar_row_kernels().sweep(values, n_blocks, tensor_scale, codes, scales);
  }
  // No magnitude beyond may be estimated: scales end at 448.
  const V most = _mm512_set1_ps(6.5f * kE4m3Max * tensor_scale);
  for (size_t b = 0; b < n_blocks; b += kTileBlocks) {
    const size_t n = n_blocks - b < kTileBlocks ? n_blocks - b : kTileBlocks;
    const float* tile = values + b * kNvfp4BlockSize;
    V rows[kTileBlocks];
    load_magnitudes(tile, n, rows);
    transpose(rows);
    V amax = rows[0];
    for (size_t i = 1; i < kNvfp4BlockSize; ++i) amax = _mm512_max_ps(amax, rows[i]);
    const I nearest = nearest_scales(amax, tensor_scale);
    const __mmask16 coarse = _mm512_cmplt_epi32_mask(nearest, _mm512_set1_epi32(kCoarseScales));
    const Choice choice = coarse == 0 ? choose_scales<false>(rows, nearest, tensor_scale)
                                      : choose_scales<true>(rows, nearest, tensor_scale);
    alignas(64) std::array<int32_t, kTileBlocks> chosen;
    _mm512_store_si512(chosen.data(), choice.codes);
    const auto first = static_cast<__mmask16>((1u << n) - 1u);
    const __mmask16 zero = _mm512_cmp_ps_mask(amax, _mm512_setzero_ps(), _CMP_EQ_OQ);
    const __mmask16 beyond = _mm512_cmp_ps_mask(amax, most, _CMP_NLE_UQ);
    unsigned unsure =
        static_cast<unsigned>((choice.unsure | beyond) & first) & ~static_cast<unsigned>(zero);
    for (; unsure != 0; unsure &= unsure - 1) {
      const auto lane = static_cast<size_t>(__builtin_ctz(unsure));
      chosen[lane] = sweep_block_scale(tile + lane * kNvfp4BlockSize, tensor_scale);
    }
    const I final_codes = _mm512_mask_mov_epi32(_mm512_load_si512(chosen.data()), zero, nearest);
    encode_tile(tile, n, final_codes, tensor_scale, codes + b * kNvfp4BlockBytes, scales + b);
  }
}

V widen(const std::byte* words) {
  const __m256i half = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(words));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}

void widen_bf16(const std::byte* words, size_t n, float* out) {
  size_t i = 0;
  for (; i + 16 <= n; i += 16) _mm512_storeu_ps(out + i, widen(words + 2 * i));
  scalar_row_kernels().widen_bf16(words + 2 * i, n - i, out + i);
}

uint32_t largest_bf16(const std::byte* words, size_t n) {
  const I mask = _mm512_set1_epi16(0x7fff);
  I largest[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
  size_t i = 0;
  for (; i + 64 <= n; i += 64) {
    for (size_t j = 0; j < 2; ++j) {
      const I part = _mm512_loadu_si512(words + 2 * i + 64 * j);
      largest[j] = _mm512_max_epu16(largest[j], _mm512_and_si512(part, mask));
    }
  }
  alignas(64) std::array<uint16_t, 32> lanes;
  _mm512_store_si512(lanes.data(), _mm512_max_epu16(largest[0], largest[1]));
  uint32_t result = scalar_row_kernels().largest_bf16(words + 2 * i, n - i);
  for (const uint16_t lane : lanes) result = lane > result ? lane : result;
  return result;
}

RowSums compare(const float* values, size_t n_blocks, const uint8_t* codes, const uint8_t* scales,
                float tensor_scale) {
  const V table = _mm512_setr_ps(0.0f, 0.5f, 1.0f, 1.5f, 2.0f, 3.0f, 4.0f, 6.0f, -0.0f, -0.5f,
                                 -1.0f, -1.5f, -2.0f, -3.0f, -4.0f, -6.0f);
  __m512d squares = _mm512_setzero_pd();
  __m512d errors = _mm512_setzero_pd();
  __m512d largest = _mm512_setzero_pd();
  for (size_t b = 0; b < n_blocks; ++b) {
    const __m128i pairs =
        _mm_loadl_epi64(reinterpret_cast<const __m128i*>(codes + b * kNvfp4BlockBytes));
    // The look-up ignores all index bits but the low four: only the high nibbles need a shift.
    const __m128i nibbles = _mm_unpacklo_epi8(pairs, _mm_srli_epi16(pairs, 4));
    const V level = _mm512_permutexvar_ps(_mm512_cvtepu8_epi32(nibbles), table);
    const V decoded = _mm512_mul_ps(level, _mm512_set1_ps(e4m3_to_f32(scales[b]) * tensor_scale));
    const V weights = load_block(values, b);
    for (int half = 0; half < 2; ++half) {
      const __m256 w =
          half == 0 ? _mm512_castps512_ps256(weights) : _mm512_extractf32x8_ps(weights, 1);
      const __m256 d =
          half == 0 ? _mm512_castps512_ps256(decoded) : _mm512_extractf32x8_ps(decoded, 1);
      const __m512d weight = _mm512_cvtps_pd(w);
      const __m512d error = _mm512_sub_pd(weight, _mm512_cvtps_pd(d));
      squares = _mm512_add_pd(squares, _mm512_mul_pd(weight, weight));
      errors = _mm512_add_pd(errors, _mm512_mul_pd(error, error));
      largest = _mm512_max_pd(largest, _mm512_abs_pd(error));
    }
  }
  alignas(64) std::array<double, 8> square_lanes;
  alignas(64) std::array<double, 8> error_lanes;
  _mm512_store_pd(square_lanes.data(), squares);
  _mm512_store_pd(error_lanes.data(), errors);
  RowSums sums;
  for (size_t i = 0; i < 8; ++i) {
    sums.squares += square_lanes[i];
    sums.squared_errors += error_lanes[i];
  }
  sums.max_abs_error = _mm512_reduce_max_pd(largest);
  return sums;
}

constexpr RowKernels kKernels = {"avx512",   rtn_blocks,   sweep_blocks,
                                 widen_bf16, largest_bf16, compare};

}  // namespace

const RowKernels& avx512_row_kernels() { return kKernels; }

}  // namespace nibble
