// Maps code points to symbols of one byte: code points that no set of a pattern tells apart share
// one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/regex/code_point_set.h"

namespace nibble {

/// A pattern cannot see more of a code point than which of its sets hold it. So text becomes one
/// byte a code point, and every set a set of bytes. Matching is then exact whatever Unicode version
/// the regular-expression library has, and as fast for every script as for ASCII.
class SymbolMap {
 public:
  /// Nothing if the sets need more than 256 symbols.
  static std::optional<SymbolMap> create(const std::vector<CodePointSet>& sets);

  /// The symbols that stand for the members of sets[set_index], rising.
  const std::vector<uint8_t>& symbols_of(size_t set_index) const { return members_[set_index]; }

  /// Replaces `out` by the symbols of valid UTF-8. Returns true if all of the text was ASCII, so
  /// that positions in both are equal.
  bool translate(std::string_view text, std::vector<uint8_t>& out) const;

 private:
  static constexpr size_t kBlockSize = 256;

  SymbolMap() = default;
  uint8_t symbol_of(char32_t code_point) const {
    return blocks_[block_of_[code_point / kBlockSize] * kBlockSize + code_point % kBlockSize];
  }

  std::vector<std::vector<uint8_t>> members_;
  std::vector<uint16_t> block_of_;  // per 256 code points
  std::vector<uint8_t> blocks_;
};

}  // namespace nibble
