// Little-endian loads and stores, checked size arithmetic, and sizes written for people.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <type_traits>

namespace nibble {

static_assert(std::endian::native == std::endian::little, "nibble's file readers assume it");

/// Reads a trivially copyable value from unaligned bytes.
template <typename T>
requires std::is_trivially_copyable_v<T> T load_le(const void* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof(T));
  return value;
}

/// Writes a trivially copyable value to unaligned bytes.
template <typename T>
requires std::is_trivially_copyable_v<T>
void store_le(void* bytes, T value) { std::memcpy(bytes, &value, sizeof(T)); }

/// a * b, or nothing if it does not fit.
inline std::optional<uint64_t> checked_mul(uint64_t a, uint64_t b) {
  uint64_t out = 0;
  if (__builtin_mul_overflow(a, b, &out)) return std::nullopt;
  return out;
}

/// a + b, or nothing if it does not fit.
inline std::optional<uint64_t> checked_add(uint64_t a, uint64_t b) {
  uint64_t out = 0;
  if (__builtin_add_overflow(a, b, &out)) return std::nullopt;
  return out;
}

/// "19.31 GB": decimal units, as disks and model cards count.
std::string human_bytes(uint64_t n_bytes);

/// FNV-1a, 64 bit: a run-to-run identity of bytes, not a cryptographic hash.
uint64_t hash_bytes(std::span<const std::byte> bytes, uint64_t seed = 0xcbf29ce484222325ull);

}  // namespace nibble
