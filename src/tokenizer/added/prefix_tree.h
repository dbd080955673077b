// Finds the longest of many strings that begins at a place in a text.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace nibble {

/// A trie in breadth-first order: the children of a node are neighbours, sorted by their byte. Nine
/// bytes a node, built in time linear in the bytes of the strings (after sorting them).
class PrefixTree {
 public:
  struct Entry {
    std::string text;
    int32_t value;
  };
  /// The end of a found string, and its value.
  struct Hit {
    size_t begin;
    size_t end;
    int32_t value;
  };

  PrefixTree() = default;
  /// Texts must not be empty; of equal ones the later wins.
  explicit PrefixTree(std::vector<Entry> entries);

  bool empty() const { return nodes_.empty(); }
  /// The first place at or behind `from` where some string begins, and the longest one there.
  /// Cost: the rest of the text at memory speed, plus the matched prefixes.
  std::optional<Hit> find(std::string_view text, size_t from) const;

 private:
  static constexpr int32_t kNoValue = -1;
  struct Node {
    uint32_t first_child = 0;
    int32_t value = kNoValue;
  };

  std::optional<Hit> longest_at(std::string_view text, size_t begin) const;
  // The child of nodes_[node] by `byte`, or 0, the root, which is nobody's child.
  uint32_t child(uint32_t node, uint8_t byte) const;

  std::vector<Node> nodes_;     // one more than there are, to end the last one's children
  std::vector<uint8_t> bytes_;  // the byte that leads to each node
  std::vector<bool> starts_ = std::vector<bool>(256);
  char only_start_ = 0;  // the first byte of all strings, if it is the same
  bool has_only_start_ = false;
};

}  // namespace nibble
