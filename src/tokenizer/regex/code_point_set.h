// A set of code points as sorted ranges: what one character class of a regular expression matches.
#pragma once

#include <vector>

namespace nibble {

/// Both ends belong to the range.
struct CodePointRange {
  char32_t first;
  char32_t last;
  friend bool operator==(const CodePointRange& a, const CodePointRange& b) {
    return a.first == b.first && a.last == b.last;
  }
};

/// A value type; every operation leaves the ranges sorted, disjoint and not adjacent. Surrogates
/// are code points like any others here (they never occur in text).
class CodePointSet {
 public:
  CodePointSet() = default;
  explicit CodePointSet(char32_t single) { add(single, single); }

  /// Constant time if the range lies behind all others, as when a table is read in order.
  void add(char32_t first, char32_t last);
  void unite(const CodePointSet& other);
  void intersect(const CodePointSet& other);
  void complement();

  /// Adds every code point that equals a member once case is folded (Unicode full case folding by
  /// utf8proc; "ss" itself, a sequence, is never a member of a set).
  void close_under_case_folding();

  bool contains(char32_t code_point) const;
  const std::vector<CodePointRange>& ranges() const { return ranges_; }
  friend bool operator==(const CodePointSet& a, const CodePointSet& b) {
    return a.ranges_ == b.ranges_;
  }

 private:
  void sort_and_join();
  std::vector<CodePointRange> ranges_;
};

}  // namespace nibble
