#include "core/bytes.h"

#include <fmt/format.h>

#include <array>

namespace nibble {

std::string human_bytes(uint64_t n_bytes) {
  constexpr std::array<const char*, 5> kUnits = {"B", "kB", "MB", "GB", "TB"};
  double value = static_cast<double>(n_bytes);
  size_t unit = 0;
  while (value >= 999.5 && unit + 1 < kUnits.size()) {
    value /= 1000.0;
    ++unit;
  }
  if (unit == 0) return fmt::format("{} B", n_bytes);
  return fmt::format("{:.{}f} {}", value, value < 9.995 ? 2 : value < 99.95 ? 1 : 0, kUnits[unit]);
}

uint64_t hash_bytes(std::span<const std::byte> bytes, uint64_t seed) {
  uint64_t hash = seed;
  for (const std::byte byte : bytes) {
    hash ^= static_cast<uint64_t>(byte);
    hash *= 0x100000001b3ull;
  }
  return hash;
}

}  // namespace nibble
