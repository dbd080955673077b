// Remembers the tokens of short words, which repeat a great deal in real text.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

namespace nibble {

/// A direct-mapped table: a word that falls on a taken slot replaces it. One owner, one thread.
class WordCache {
 public:
  static constexpr size_t kMaxWordBytes = 30;
  static constexpr size_t kMaxTokens = 8;

  /// Where a word belongs; finds what is there or remembers what belongs there.
  struct Key {
    std::string_view word;
    size_t slot;
  };

  /// `word` has at most kMaxWordBytes.
  Key key_of(std::string_view word) const {
    uint64_t hash = word.size();
    size_t i = 0;
    for (; i + 8 <= word.size(); i += 8) hash = mix(hash, load(word.data() + i, 8));
    if (i < word.size()) hash = mix(hash, load(word.data() + i, word.size() - i));
    return {word, static_cast<size_t>(hash >> (64 - kSlotBits))};
  }

  /// The tokens, or an empty span if the word is not remembered. Valid until the next remember().
  std::span<const int32_t> find(const Key& key) const {
    const Slot& slot = slots_[key.slot];
    if (slot.n_bytes != key.word.size() ||
        std::memcmp(slot.bytes.data(), key.word.data(), key.word.size()) != 0) {
      return {};
    }
    return {slot.tokens.data(), slot.n_tokens};
  }

  /// Does nothing if there are more than kMaxTokens tokens.
  void remember(const Key& key, std::span<const int32_t> tokens) {
    if (tokens.size() > kMaxTokens) return;
    Slot& slot = slots_[key.slot];
    slot.n_bytes = static_cast<uint8_t>(key.word.size());
    slot.n_tokens = static_cast<uint8_t>(tokens.size());
    std::memcpy(slot.bytes.data(), key.word.data(), key.word.size());
    std::copy(tokens.begin(), tokens.end(), slot.tokens.begin());
  }

 private:
  static constexpr int kSlotBits = 13;

  struct Slot {  // one cache line
    uint8_t n_bytes = 0;
    uint8_t n_tokens = 0;
    std::array<char, kMaxWordBytes> bytes;
    std::array<int32_t, kMaxTokens> tokens;
  };
  static_assert(sizeof(Slot) == 64);

  static uint64_t load(const char* bytes, size_t n) {
    uint64_t value = 0;
    std::memcpy(&value, bytes, n);
    return value;
  }
  static uint64_t mix(uint64_t hash, uint64_t value) {
    hash = (hash ^ value) * 0x9E3779B97F4A7C15ull;
    return hash ^ hash >> 29;
  }

  std::vector<Slot> slots_ = std::vector<Slot>(size_t{1} << kSlotBits);
};

}  // namespace nibble
