#include "tokenizer/added/prefix_tree.h"

#include <algorithm>

namespace nibble {
namespace {

// The entries below a node that is still to be expanded.
struct Range {
  size_t begin;
  size_t end;
};

}  // namespace

PrefixTree::PrefixTree(std::vector<Entry> entries) {
  if (entries.empty()) return;
  std::stable_sort(entries.begin(), entries.end(),
                   [](const Entry& a, const Entry& b) { return a.text < b.text; });
  nodes_.emplace_back();
  bytes_.push_back(0);
  std::vector<Range> level = {{0, entries.size()}};
  size_t n_expanded = 0;
  for (size_t depth = 0; !level.empty(); ++depth) {
    std::vector<Range> next_level;
    for (Range range : level) {
      const size_t node = n_expanded++;
      nodes_[node].first_child = static_cast<uint32_t>(nodes_.size());
      while (range.begin < range.end && entries[range.begin].text.size() == depth) {
        nodes_[node].value = entries[range.begin++].value;
      }
      while (range.begin < range.end) {
        const char byte = entries[range.begin].text[depth];
        const size_t begin = range.begin;
        while (range.begin < range.end && entries[range.begin].text[depth] == byte) ++range.begin;
        next_level.push_back({begin, range.begin});
        nodes_.emplace_back();
        bytes_.push_back(static_cast<uint8_t>(byte));
      }
    }
    level = std::move(next_level);
  }
  Node sentinel;
  sentinel.first_child = static_cast<uint32_t>(nodes_.size());
  nodes_.push_back(sentinel);
  for (const Entry& entry : entries) starts_[static_cast<uint8_t>(entry.text[0])] = true;
  only_start_ = entries.front().text[0];
  has_only_start_ = only_start_ == entries.back().text[0];
}

std::optional<PrefixTree::Hit> PrefixTree::find(std::string_view text, size_t from) const {
  if (empty()) return std::nullopt;
  for (size_t at = from; at < text.size(); ++at) {
    if (has_only_start_) {
      at = text.find(only_start_, at);
      if (at == std::string_view::npos) return std::nullopt;
    } else if (!starts_[static_cast<uint8_t>(text[at])]) {
      continue;
    }
    if (const auto hit = longest_at(text, at)) return hit;
  }
  return std::nullopt;
}

std::optional<PrefixTree::Hit> PrefixTree::longest_at(std::string_view text, size_t begin) const {
  std::optional<Hit> longest;
  uint32_t node = 0;
  for (size_t at = begin; at < text.size(); ++at) {
    node = child(node, static_cast<uint8_t>(text[at]));
    if (node == 0) break;
    if (nodes_[node].value != kNoValue) longest = Hit{begin, at + 1, nodes_[node].value};
  }
  return longest;
}

uint32_t PrefixTree::child(uint32_t node, uint8_t byte) const {
  const auto begin = bytes_.begin() + nodes_[node].first_child;
  const auto end = bytes_.begin() + nodes_[node + 1].first_child;
  const auto found = std::lower_bound(begin, end, byte);
  if (found == end || *found != byte) return 0;
  return static_cast<uint32_t>(found - bytes_.begin());
}

}  // namespace nibble
