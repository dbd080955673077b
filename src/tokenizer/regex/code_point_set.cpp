#include "tokenizer/regex/code_point_set.h"

#include <utf8proc.h>

#include <algorithm>
#include <map>
#include <string>

namespace nibble {
namespace {

constexpr char32_t kLastCodePoint = 0x10FFFF;
// No code point from here on has a case.
constexpr char32_t kCaselessFrom = 0x1F200;

// Groups of code points that fold to the same sequence, at least two in each.
std::vector<std::vector<char32_t>> compute_case_groups() {
  std::map<std::u32string, std::vector<char32_t>> by_folding;
  for (char32_t c = 0; c < kCaselessFrom; ++c) {
    utf8proc_int32_t folded[8];
    int boundary = 0;
    const auto n = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c), folded, 8,
                                           UTF8PROC_CASEFOLD, &boundary);
    if (n <= 0 || n > 8) continue;
    if (n == 1 && static_cast<char32_t>(folded[0]) == c) continue;
    auto& group = by_folding[std::u32string(folded, folded + n)];
    if (group.empty() && n == 1) group.push_back(static_cast<char32_t>(folded[0]));
    group.push_back(c);
  }
  std::vector<std::vector<char32_t>> groups;
  for (auto& [folding, group] : by_folding) {
    if (group.size() > 1) groups.push_back(std::move(group));
  }
  return groups;
}

}  // namespace

void CodePointSet::add(char32_t first, char32_t last) {
  if (ranges_.empty() || first > ranges_.back().last + 1) {
    ranges_.push_back({first, last});
  } else if (first >= ranges_.back().first) {
    ranges_.back().last = std::max(ranges_.back().last, last);
  } else {
    ranges_.push_back({first, last});
    sort_and_join();
  }
}

void CodePointSet::unite(const CodePointSet& other) {
  ranges_.insert(ranges_.end(), other.ranges_.begin(), other.ranges_.end());
  sort_and_join();
}

void CodePointSet::intersect(const CodePointSet& other) {
  CodePointSet outside = other;
  outside.complement();
  complement();
  unite(outside);
  complement();
}

void CodePointSet::complement() {
  std::vector<CodePointRange> gaps;
  char32_t next = 0;
  for (const CodePointRange& range : ranges_) {
    if (range.first > next) gaps.push_back({next, range.first - 1});
    next = range.last + 1;
  }
  if (next <= kLastCodePoint) gaps.push_back({next, kLastCodePoint});
  ranges_ = std::move(gaps);
}

void CodePointSet::close_under_case_folding() {
  static const std::vector<std::vector<char32_t>> groups = compute_case_groups();
  std::vector<char32_t> additions;
  for (const auto& group : groups) {
    const auto is_member = [this](char32_t c) { return contains(c); };
    if (std::any_of(group.begin(), group.end(), is_member)) {
      additions.insert(additions.end(), group.begin(), group.end());
    }
  }
  for (const char32_t c : additions) ranges_.push_back({c, c});
  sort_and_join();
}

bool CodePointSet::contains(char32_t code_point) const {
  const auto after =
      std::upper_bound(ranges_.begin(), ranges_.end(), code_point,
                       [](char32_t c, const CodePointRange& range) { return c < range.first; });
  return after != ranges_.begin() && std::prev(after)->last >= code_point;
}

void CodePointSet::sort_and_join() {
  std::sort(ranges_.begin(), ranges_.end(),
            [](const CodePointRange& a, const CodePointRange& b) { return a.first < b.first; });
  std::vector<CodePointRange> joined;
  for (const CodePointRange& range : ranges_) {
    if (!joined.empty() && range.first <= joined.back().last + 1) {
      joined.back().last = std::max(joined.back().last, range.last);
    } else {
      joined.push_back(range);
    }
  }
  ranges_ = std::move(joined);
}

}  // namespace nibble
