#include "tokenizer/regex/symbol_map.h"

#include <algorithm>
#include <map>

#include "tokenizer/unicode/utf8.h"

namespace nibble {
namespace {

constexpr char32_t kCodePointsEnd = 0x110000;
constexpr size_t kMaxSymbols = 256;

// The code points at which membership in some set can change, rising, with both ends of the range.
std::vector<char32_t> boundaries_of(const std::vector<CodePointSet>& sets) {
  std::vector<char32_t> boundaries = {0, kCodePointsEnd};
  for (const CodePointSet& set : sets) {
    for (const CodePointRange& range : set.ranges()) {
      boundaries.push_back(range.first);
      boundaries.push_back(range.last + 1);
    }
  }
  std::sort(boundaries.begin(), boundaries.end());
  boundaries.erase(std::unique(boundaries.begin(), boundaries.end()), boundaries.end());
  return boundaries;
}

// Blocks of 256 symbols, equal ones stored once.
class BlockBuilder {
 public:
  uint16_t index_of(const std::vector<uint8_t>& block, std::vector<uint8_t>& blocks) {
    const auto [entry, is_new] = index_.try_emplace(block, static_cast<uint16_t>(index_.size()));
    if (is_new) blocks.insert(blocks.end(), block.begin(), block.end());
    return entry->second;
  }

 private:
  std::map<std::vector<uint8_t>, uint16_t> index_;
};

}  // namespace

std::optional<SymbolMap> SymbolMap::create(const std::vector<CodePointSet>& sets) {
  SymbolMap map;
  map.members_.resize(sets.size());
  std::map<std::vector<bool>, uint8_t> symbol_of_membership;
  std::vector<size_t> cursors(sets.size(), 0);
  std::vector<uint8_t> block(kBlockSize);
  BlockBuilder builder;
  const std::vector<char32_t> boundaries = boundaries_of(sets);
  for (size_t i = 0; i + 1 < boundaries.size(); ++i) {
    std::vector<bool> membership(sets.size());
    for (size_t s = 0; s < sets.size(); ++s) {
      const auto& ranges = sets[s].ranges();
      while (cursors[s] < ranges.size() && ranges[cursors[s]].last < boundaries[i]) ++cursors[s];
      membership[s] = cursors[s] < ranges.size() && ranges[cursors[s]].first <= boundaries[i];
    }
    auto found = symbol_of_membership.find(membership);
    if (found == symbol_of_membership.end()) {
      if (symbol_of_membership.size() == kMaxSymbols) return std::nullopt;
      const auto symbol = static_cast<uint8_t>(symbol_of_membership.size());
      found = symbol_of_membership.emplace(membership, symbol).first;
      for (size_t s = 0; s < sets.size(); ++s) {
        if (membership[s]) map.members_[s].push_back(symbol);
      }
    }
    for (char32_t c = boundaries[i]; c < boundaries[i + 1]; ++c) {
      block[c % kBlockSize] = found->second;
      if (c % kBlockSize == kBlockSize - 1) {
        map.block_of_.push_back(builder.index_of(block, map.blocks_));
      }
    }
  }
  return map;
}

bool SymbolMap::translate(std::string_view text, std::vector<uint8_t>& out) const {
  out.resize(text.size());
  const uint8_t* const ascii = blocks_.data() + block_of_[0] * kBlockSize;
  size_t n = 0;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at != end && static_cast<uint8_t>(*at) < 0x80) {
    out[n++] = ascii[static_cast<uint8_t>(*at++)];
  }
  if (at == end) return true;
  while (at != end) out[n++] = symbol_of(next_code_point(at));
  out.resize(n);
  return false;
}

}  // namespace nibble
