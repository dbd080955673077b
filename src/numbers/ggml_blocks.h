// The block formats of GGUF files: how many bytes hold how many values, and their decoding.
//
// Q8_0 and Q4_0 hold 32 values and one half-precision scale. The K formats hold 256 values in
// sub-blocks whose small integer scales (and minima) are themselves scaled by one half-precision
// number. NVFP4 holds 64 values: four E4M3 scale bytes, then the codes; its tensor scale is stored
// apart.
#pragma once

#include <cstddef>
#include <cstdint>

#include "numbers/bf16.h"
#include "numbers/e2m1.h"
#include "numbers/e4m3.h"
#include "numbers/host_device.h"

namespace nibble {

inline constexpr size_t kQ8_0Values = 32;
inline constexpr size_t kQ8_0Bytes = 34;
inline constexpr size_t kQ4_0Values = 32;
inline constexpr size_t kQ4_0Bytes = 18;
inline constexpr size_t kKValues = 256;
inline constexpr size_t kQ4KBytes = 144;
inline constexpr size_t kQ5KBytes = 176;
inline constexpr size_t kQ6KBytes = 210;
inline constexpr size_t kGgufNvfp4Values = 64;
inline constexpr size_t kGgufNvfp4Bytes = 36;

NIBBLE_HD constexpr float load_f16(const uint8_t* bytes) {
  return f16_to_f32(static_cast<uint16_t>(bytes[0] | (bytes[1] << 8)));
}

/// scale f16, then 32 signed bytes; value = scale * byte.
NIBBLE_HD constexpr void decode_q8_0(const uint8_t* block, float* values) {
  const float scale = load_f16(block);
  for (size_t i = 0; i < kQ8_0Values; ++i) {
    values[i] = scale * static_cast<float>(static_cast<int8_t>(block[2 + i]));
  }
}

/// Encodes with scale = amax / 127 and rounding to nearest, halves away from zero.
NIBBLE_HD constexpr void encode_q8_0(const float* values, uint8_t* block) {
  float amax = 0.0f;
  for (size_t i = 0; i < kQ8_0Values; ++i) {
    const float magnitude = values[i] < 0.0f ? -values[i] : values[i];
    if (magnitude > amax) amax = magnitude;
  }
  const float scale = amax / 127.0f;
  const float inverse = scale == 0.0f ? 0.0f : 1.0f / scale;
  const uint16_t stored = f32_to_f16(scale);
  block[0] = static_cast<uint8_t>(stored & 0xffu);
  block[1] = static_cast<uint8_t>(stored >> 8);
  for (size_t i = 0; i < kQ8_0Values; ++i) {
    const float x = values[i] * inverse;
    const int rounded = static_cast<int>(x < 0.0f ? x - 0.5f : x + 0.5f);
    block[2 + i] = static_cast<uint8_t>(static_cast<int8_t>(rounded));
  }
}

/// scale f16, then 16 bytes: value i in the low nibble of byte i, value i + 16 in the high one;
/// value = scale * (nibble - 8).
NIBBLE_HD constexpr void decode_q4_0(const uint8_t* block, float* values) {
  const float scale = load_f16(block);
  for (size_t i = 0; i < 16; ++i) {
    values[i] = scale * static_cast<float>(static_cast<int>(block[2 + i] & 15u) - 8);
    values[i + 16] = scale * static_cast<float>(static_cast<int>(block[2 + i] >> 4) - 8);
  }
}

/// The 6-bit scale and minimum of sub-block `index` (0..7), packed in 12 bytes: the low six bits of
/// bytes 0-3 and 4-7 for the first four; nibbles of bytes 8-11 with the top two bits of the former
/// for the last four.
struct SubBlockScale {
  uint8_t scale;
  uint8_t minimum;
};
NIBBLE_HD constexpr SubBlockScale unpack_sub_block_scale(const uint8_t* packed, size_t index) {
  if (index < 4) {
    return {static_cast<uint8_t>(packed[index] & 63u),
            static_cast<uint8_t>(packed[index + 4] & 63u)};
  }
  const uint8_t nibbles = packed[index + 4];
  return {static_cast<uint8_t>((nibbles & 15u) | ((packed[index - 4] >> 6) << 4)),
          static_cast<uint8_t>((nibbles >> 4) | ((packed[index] >> 6) << 4))};
}

/// d f16, dmin f16, 12 bytes of scales, 128 bytes of nibbles in four groups of 32 bytes: the low
/// nibbles of a group are one sub-block of 32 values, the high nibbles the next.
/// value = d * scale * nibble - dmin * minimum.
NIBBLE_HD constexpr void decode_q4_k(const uint8_t* block, float* values) {
  const float d = load_f16(block);
  const float dmin = load_f16(block + 2);
  for (size_t sub = 0; sub < 8; ++sub) {
    const SubBlockScale s = unpack_sub_block_scale(block + 4, sub);
    const float scale = d * static_cast<float>(s.scale);
    const float minimum = dmin * static_cast<float>(s.minimum);
    const uint8_t* bytes = block + 16 + 32 * (sub / 2);
    for (size_t i = 0; i < 32; ++i) {
      const unsigned nibble = sub % 2 == 0 ? bytes[i] & 15u : bytes[i] >> 4;
      values[32 * sub + i] = scale * static_cast<float>(nibble) - minimum;
    }
  }
}

/// As Q4_K, with 32 bytes of fifth bits between the scales and the nibbles: bit `sub` of byte i
/// belongs to value i of the sub-block.
NIBBLE_HD constexpr void decode_q5_k(const uint8_t* block, float* values) {
  const float d = load_f16(block);
  const float dmin = load_f16(block + 2);
  for (size_t sub = 0; sub < 8; ++sub) {
    const SubBlockScale s = unpack_sub_block_scale(block + 4, sub);
    const float scale = d * static_cast<float>(s.scale);
    const float minimum = dmin * static_cast<float>(s.minimum);
    const uint8_t* bytes = block + 48 + 32 * (sub / 2);
    for (size_t i = 0; i < 32; ++i) {
      const unsigned nibble = sub % 2 == 0 ? bytes[i] & 15u : bytes[i] >> 4;
      const unsigned high = (block[16 + i] >> sub) & 1u;
      values[32 * sub + i] = scale * static_cast<float>(nibble + 16 * high) - minimum;
    }
  }
}

/// 128 bytes of low nibbles, 64 bytes of top bit pairs, 16 signed scales, d f16. Two halves of 128
/// values; in a half, value 32 q + i has its nibble in byte 32 (q % 2) + i (low for q < 2) and its
/// pair in byte i at bit 2 q. value = d * scale of its 16 values * (code - 32).
NIBBLE_HD constexpr void decode_q6_k(const uint8_t* block, float* values) {
  const float d = load_f16(block + 208);
  for (size_t half = 0; half < 2; ++half) {
    const uint8_t* low = block + 64 * half;
    const uint8_t* high = block + 128 + 32 * half;
    for (size_t run = 0; run < 8; ++run) {  // of 16 values with a scale of their own
      const size_t q = run / 2;
      const size_t first = 16 * (run % 2);
      const uint8_t* nibbles = low + 32 * (q % 2) + first;
      const unsigned shift = q < 2 ? 0 : 4;
      const float scale = d * static_cast<float>(static_cast<int8_t>(block[192 + 8 * half + run]));
      float* out = values + 128 * half + 16 * run;
      for (size_t i = 0; i < 16; ++i) {
        const unsigned nibble = (nibbles[i] >> shift) & 15u;
        const unsigned pair = (high[first + i] >> (2 * q)) & 3u;
        out[i] = scale * static_cast<float>(static_cast<int>(nibble | (pair << 4)) - 32);
      }
    }
  }
}

/// The E4M3 value of a GGUF scale byte: bytes 0x00 and 0x7f mean zero, bit 7 is not looked at.
NIBBLE_HD constexpr float gguf_scale_to_f32(uint8_t byte) {
  const auto code = static_cast<uint8_t>(byte & 0x7fu);
  return code == 0x7f ? 0.0f : e4m3_to_f32(code);
}

/// Four scale bytes, then 8 bytes for each run of 16 values: value j in the low nibble of byte j,
/// value j + 8 in the high one.
NIBBLE_HD constexpr void decode_gguf_nvfp4(const uint8_t* block, float* values) {
  for (size_t sub = 0; sub < 4; ++sub) {
    const float scale = gguf_scale_to_f32(block[sub]);
    const uint8_t* bytes = block + 4 + 8 * sub;
    for (size_t j = 0; j < 8; ++j) {
      values[16 * sub + j] = e2m1_to_f32(bytes[j] & 15u) * scale;
      values[16 * sub + j + 8] = e2m1_to_f32(bytes[j] >> 4) * scale;
    }
  }
}

/// Rearranges 64 values of canonical NVFP4 (4 scale bytes; 32 code bytes, even element in the low
/// nibble) into a GGUF block. Lossless; the sign bit of scales must be clear.
NIBBLE_HD constexpr void pack_gguf_nvfp4(const uint8_t* scales, const uint8_t* codes,
                                         uint8_t* block) {
  for (size_t sub = 0; sub < 4; ++sub) {
    block[sub] = scales[sub];
    const uint8_t* in = codes + 8 * sub;
    uint8_t* out = block + 4 + 8 * sub;
    for (size_t j = 0; j < 8; ++j) {
      const unsigned shift = (j % 2) * 4;
      const unsigned low = (in[j / 2] >> shift) & 15u;
      const unsigned high = (in[4 + j / 2] >> shift) & 15u;
      out[j] = static_cast<uint8_t>(low | (high << 4));
    }
  }
}

/// The inverse of pack_gguf_nvfp4.
NIBBLE_HD constexpr void unpack_gguf_nvfp4(const uint8_t* block, uint8_t* scales, uint8_t* codes) {
  for (size_t sub = 0; sub < 4; ++sub) {
    scales[sub] = static_cast<uint8_t>(block[sub] & 0x7fu);
    const uint8_t* in = block + 4 + 8 * sub;
    uint8_t* out = codes + 8 * sub;
    for (size_t j = 0; j < 4; ++j) {
      out[j] = static_cast<uint8_t>((in[2 * j] & 15u) | ((in[2 * j + 1] & 15u) << 4));
      out[4 + j] = static_cast<uint8_t>((in[2 * j] >> 4) | (in[2 * j + 1] & 0xf0u));
    }
  }
}

}  // namespace nibble
