#include "core/content_hash.h"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

namespace nibble {
namespace {

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

// The published values of the hash.
TEST(ContentHash, IsXxh3) {
  EXPECT_EQ(content_hash({}), "99aa06d3014798d86001c324468d497f");
  EXPECT_NE(content_hash(bytes_of("a")), content_hash(bytes_of("b")));
}

TEST(ContentHash, DoesNotDependOnThePieces) {
  std::vector<std::byte> bytes(100'003);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 37 >> 3);
  ContentHasher hasher;
  std::span<const std::byte> rest(bytes);
  for (size_t n = 1; !rest.empty(); n = n * 3 + 1) {
    const size_t taken = std::min(n, rest.size());
    hasher.update(rest.first(taken));
    rest = rest.subspan(taken);
  }
  EXPECT_EQ(hasher.hex(), content_hash(bytes));
  EXPECT_EQ(hasher.hex().size(), 32u);
  bytes.back() ^= std::byte{1};
  EXPECT_NE(hasher.hex(), content_hash(bytes));
}

}  // namespace
}  // namespace nibble
