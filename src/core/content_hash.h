// Identity of long content: a fast hash that finds every accident, and no attack.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace nibble {

/// The name of the hash for files that state hashes.
inline constexpr std::string_view kContentHashName = "XXH3-128";

/// XXH3 with 128 bits over a stream of bytes. It keeps up with memory, so that hashing all that is
/// read and written costs next to nothing; it is not cryptographic. Not thread safe.
class ContentHasher {
 public:
  ContentHasher();
  ContentHasher(ContentHasher&&) noexcept;
  ContentHasher& operator=(ContentHasher&&) noexcept;
  ~ContentHasher();

  void update(std::span<const std::byte> bytes);
  /// 32 hexadecimal digits, as `xxh128sum` prints them; update() may go on afterwards.
  std::string hex() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// The hash of one piece.
std::string content_hash(std::span<const std::byte> bytes);

}  // namespace nibble
