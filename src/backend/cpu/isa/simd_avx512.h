// Sixteen floats in one AVX-512 register: the operations that the vector kernels are written in.
// Everything has internal linkage, so that nothing of it can leak into other files at link time.
#pragma once

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

#include <cstddef>
#include <cstdint>

namespace nibble {
namespace {

struct Avx512 {
  using V = __m512;
  static constexpr size_t kLanes = 16;
  /// Rows of the register tile: 14 x 2 sums, two operands and one broadcast make 31 of 32
  /// registers.
  static constexpr size_t kTileRows = 14;

  static V zero() { return _mm512_setzero_ps(); }
  static V set1(float x) { return _mm512_set1_ps(x); }
  static V load(const float* p) { return _mm512_loadu_ps(p); }
  static void store(float* p, V x) { _mm512_storeu_ps(p, x); }
  /// The first n lanes, zeros in the others; reads nothing beyond.
  static V load_first(const float* p, size_t n) { return _mm512_maskz_loadu_ps(first(n), p); }
  static void store_first(float* p, V x, size_t n) { _mm512_mask_storeu_ps(p, first(n), x); }

  static V add(V a, V b) { return _mm512_add_ps(a, b); }
  static V sub(V a, V b) { return _mm512_sub_ps(a, b); }
  static V mul(V a, V b) { return _mm512_mul_ps(a, b); }
  static V div(V a, V b) { return _mm512_div_ps(a, b); }
  /// a * b + c
  static V fma(V a, V b, V c) { return _mm512_fmadd_ps(a, b, c); }
  static V max(V a, V b) { return _mm512_max_ps(a, b); }
  static V sqrt(V x) { return _mm512_sqrt_ps(x); }
  static float sum(V x) { return _mm512_reduce_add_ps(x); }
  static float largest(V x) { return _mm512_reduce_max_ps(x); }

  /// Halves a range of exponents: x = n ln 2 + r. n and r as floats.
  static V round(V x) {
    return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  /// Within [low, high]; a NaN stays.
  static V clamp(V x, float low, float high) {
    return _mm512_min_ps(set1(high), _mm512_max_ps(set1(low), x));
  }
  /// x * 2^n for whole n, with gradual underflow.
  static V scale_by_power(V x, V n) { return _mm512_scalef_ps(x, n); }

  /// p[0], p[stride], p[2 stride], ...: the first n lanes.
  static V load_strided(const float* p, size_t stride, size_t n) {
    alignas(64) float values[kLanes] = {};
    for (size_t i = 0; i < n; ++i) values[i] = p[i * stride];
    return _mm512_load_ps(values);
  }

  static V load_f32(const uint8_t* p) { return _mm512_loadu_ps(p); }
  static V load_bf16(const uint8_t* p) {
    const __m256i words = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(words), 16));
  }
  static V load_f16(const uint8_t* p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  /// Sixteen E4M3 codes, divided by kE4m3Factor: their exponent fits into that of a half, whose
  /// bias is larger by eight. NaN codes give finite numbers: they are refused when a model is
  /// loaded.
  static constexpr float kE4m3Factor = 256.0f;
  static V load_e4m3(const uint8_t* p) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    const __m256i words = _mm256_slli_epi16(_mm256_cvtepu8_epi16(bytes), 8);
    // The shift copies the sign into the exponent's top bit, which the mask clears.
    const __m256i mask = _mm256_set1_epi16(static_cast<short>(0xbf80));
    return _mm512_cvtph_ps(_mm256_and_si256(_mm256_srai_epi16(words, 1), mask));
  }
  /// Sixteen E2M1 codes, the even ones in the low nibbles: one look-up in a register.
  static V load_e2m1(const uint8_t* p) {
    const V table = _mm512_setr_ps(0.0f, 0.5f, 1.0f, 1.5f, 2.0f, 3.0f, 4.0f, 6.0f, -0.0f, -0.5f,
                                   -1.0f, -1.5f, -2.0f, -3.0f, -4.0f, -6.0f);
    const __m128i pairs = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
    // The look-up ignores all index bits but the low four: only the high nibbles need a shift.
    const __m128i codes = _mm_unpacklo_epi8(pairs, _mm_srli_epi16(pairs, 4));
    return _mm512_permutexvar_ps(_mm512_cvtepu8_epi32(codes), table);
  }

  /// Transposes 16 x 16: afterwards rows[i] holds what was lane i of every row.
  static void transpose(V* rows) {
    V pairs[16];
    for (int i = 0; i < 16; i += 2) {
      pairs[i] = _mm512_unpacklo_ps(rows[i], rows[i + 1]);
      pairs[i + 1] = _mm512_unpackhi_ps(rows[i], rows[i + 1]);
    }
    V fours[16];
    for (int i = 0; i < 16; i += 4) {
      for (int half = 0; half < 2; ++half) {
        const __m512d low = _mm512_castps_pd(pairs[i + half]);
        const __m512d high = _mm512_castps_pd(pairs[i + half + 2]);
        fours[i + 2 * half] = _mm512_castpd_ps(_mm512_unpacklo_pd(low, high));
        fours[i + 2 * half + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(low, high));
      }
    }
    for (int i = 0; i < 4; ++i) {
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

 private:
  static __mmask16 first(size_t n) { return static_cast<__mmask16>((1u << n) - 1u); }
};

}  // namespace
}  // namespace nibble
