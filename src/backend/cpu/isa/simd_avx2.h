// Eight floats in one AVX2 register: the operations that the vector kernels are written in.
// Everything has internal linkage, so that nothing of it can leak into other files at link time.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace nibble {
namespace {

struct Avx2 {
  using V = __m256;
  static constexpr size_t kLanes = 8;
  /// Rows of the register tile: 6 x 2 sums, two operands and one broadcast make 15 of 16 registers.
  static constexpr size_t kTileRows = 6;

  static V zero() { return _mm256_setzero_ps(); }
  static V set1(float x) { return _mm256_set1_ps(x); }
  static V load(const float* p) { return _mm256_loadu_ps(p); }
  static void store(float* p, V x) { _mm256_storeu_ps(p, x); }
  /// The first n lanes, zeros in the others; reads nothing beyond.
  static V load_first(const float* p, size_t n) { return _mm256_maskload_ps(p, first(n)); }
  static void store_first(float* p, V x, size_t n) { _mm256_maskstore_ps(p, first(n), x); }

  static V add(V a, V b) { return _mm256_add_ps(a, b); }
  static V sub(V a, V b) { return _mm256_sub_ps(a, b); }
  static V mul(V a, V b) { return _mm256_mul_ps(a, b); }
  static V div(V a, V b) { return _mm256_div_ps(a, b); }
  /// a * b + c
  static V fma(V a, V b, V c) { return _mm256_fmadd_ps(a, b, c); }
  static V max(V a, V b) { return _mm256_max_ps(a, b); }
  static V sqrt(V x) { return _mm256_sqrt_ps(x); }
  static float sum(V x) {
    __m128 half = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    half = _mm_add_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_add_ss(half, _mm_movehdup_ps(half)));
  }
  static float largest(V x) {
    __m128 half = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    half = _mm_max_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_max_ss(half, _mm_movehdup_ps(half)));
  }

  static V round(V x) { return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
  /// Within [low, high]; a NaN stays.
  static V clamp(V x, float low, float high) {
    return _mm256_min_ps(set1(high), _mm256_max_ps(set1(low), x));
  }
  /// x * 2^n for whole n in [-250, 250], with gradual underflow: in two steps, since 2^n itself
  /// need not be a normal number.
  static V scale_by_power(V x, V n) {
    const __m256i whole = _mm256_cvtps_epi32(n);
    const __m256i half = _mm256_srai_epi32(whole, 1);
    return mul(mul(x, power(half)), power(_mm256_sub_epi32(whole, half)));
  }

  /// p[0], p[stride], p[2 stride], ...: the first n lanes.
  static V load_strided(const float* p, size_t stride, size_t n) {
    alignas(32) float values[kLanes] = {};
    for (size_t i = 0; i < n; ++i) values[i] = p[i * stride];
    return _mm256_load_ps(values);
  }

  static V load_f32(const uint8_t* p) { return _mm256_loadu_ps(reinterpret_cast<const float*>(p)); }
  static V load_bf16(const uint8_t* p) {
    const __m128i words = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(words), 16));
  }
  static V load_f16(const uint8_t* p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  /// Eight E4M3 codes, divided by kE4m3Factor: their exponent fits into that of a half, whose bias
  /// is larger by eight. NaN codes give finite numbers: they are refused when a model is loaded.
  static constexpr float kE4m3Factor = 256.0f;
  static V load_e4m3(const uint8_t* p) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
    const __m128i words = _mm_unpacklo_epi8(_mm_setzero_si128(), bytes);
    // The shift copies the sign into the exponent's top bit, which the mask clears.
    const __m128i mask = _mm_set1_epi16(static_cast<short>(0xbf80));
    return _mm256_cvtph_ps(_mm_and_si128(_mm_srai_epi16(words, 1), mask));
  }
  /// Eight E2M1 codes, the even ones in the low nibbles: magnitudes from a register, then the sign.
  static V load_e2m1(const uint8_t* p) {
    const V table = _mm256_setr_ps(0.0f, 0.5f, 1.0f, 1.5f, 2.0f, 3.0f, 4.0f, 6.0f);
    const __m128i pairs = _mm_loadu_si32(p);
    const __m256i codes = _mm256_cvtepu8_epi32(_mm_unpacklo_epi8(pairs, _mm_srli_epi16(pairs, 4)));
    // The look-up ignores all index bits but the low three.
    const __m256i sign = _mm256_slli_epi32(_mm256_and_si256(codes, _mm256_set1_epi32(8)), 28);
    return _mm256_xor_ps(_mm256_permutevar8x32_ps(table, codes), _mm256_castsi256_ps(sign));
  }

  /// Transposes 8 x 8: afterwards rows[i] holds what was lane i of every row.
  static void transpose(V* rows) {
    V pairs[8];
    for (int i = 0; i < 8; i += 2) {
      pairs[i] = _mm256_unpacklo_ps(rows[i], rows[i + 1]);
      pairs[i + 1] = _mm256_unpackhi_ps(rows[i], rows[i + 1]);
    }
    V fours[8];
    for (int i = 0; i < 8; i += 4) {
      for (int half = 0; half < 2; ++half) {
        fours[i + 2 * half] = _mm256_shuffle_ps(pairs[i + half], pairs[i + half + 2], 0x44);
        fours[i + 2 * half + 1] = _mm256_shuffle_ps(pairs[i + half], pairs[i + half + 2], 0xee);
      }
    }
    for (int i = 0; i < 4; ++i) {
      rows[i] = _mm256_permute2f128_ps(fours[i], fours[i + 4], 0x20);
      rows[i + 4] = _mm256_permute2f128_ps(fours[i], fours[i + 4], 0x31);
    }
  }

 private:
  static __m256i first(size_t n) {
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), lanes);
  }
  static V power(__m256i n) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
  }
};

}  // namespace
}  // namespace nibble
