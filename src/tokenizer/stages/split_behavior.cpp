#include "tokenizer/stages/split_behavior.h"

#include <algorithm>

namespace nibble {
namespace {

struct Stretch {
  TextSpan span;
  bool is_match;
};

// Matches and the stretches between them, in order.
std::vector<Stretch> stretches_of(TextSpan whole, const std::vector<TextSpan>& matches,
                                  bool invert) {
  std::vector<Stretch> stretches;
  size_t done = whole.begin;
  for (const TextSpan& match : matches) {
    const TextSpan span{whole.begin + match.begin, whole.begin + match.end};
    if (span.begin != done) stretches.push_back({{done, span.begin}, invert});
    stretches.push_back({span, !invert});
    done = span.end;
  }
  if (done != whole.end) stretches.push_back({{done, whole.end}, invert});
  return stretches;
}

// Joins a stretch to the piece before it where `joins` says so of the stretch and whether the one
// before it was a match. Stretches run backwards for kMergedWithNext.
template <typename Joins>
void merge(const std::vector<Stretch>& stretches, Joins joins, std::vector<TextSpan>& out) {
  bool was_match = false;
  const size_t first = out.size();
  for (const Stretch& stretch : stretches) {
    if (out.size() > first && joins(stretch.is_match, was_match)) {
      out.back().begin = std::min(out.back().begin, stretch.span.begin);
      out.back().end = std::max(out.back().end, stretch.span.end);
    } else {
      out.push_back(stretch.span);
    }
    was_match = stretch.is_match;
  }
}

}  // namespace

void append_pieces(TextSpan whole, const std::vector<TextSpan>& matches, SplitBehavior behavior,
                   bool invert, std::vector<TextSpan>& out) {
  const size_t first = out.size();
  if (behavior == SplitBehavior::kIsolated) {  // the usual case, without the list of stretches
    size_t done = whole.begin;
    for (const TextSpan& match : matches) {
      const TextSpan span{whole.begin + match.begin, whole.begin + match.end};
      if (span.begin != done) out.push_back({done, span.begin});
      if (span.begin != span.end) out.push_back(span);
      done = span.end;
    }
    if (done != whole.end) out.push_back({done, whole.end});
    return;
  }
  std::vector<Stretch> stretches = stretches_of(whole, matches, invert);
  switch (behavior) {
    case SplitBehavior::kIsolated:
      break;
    case SplitBehavior::kRemoved:
      for (const Stretch& stretch : stretches) {
        if (!stretch.is_match) out.push_back(stretch.span);
      }
      break;
    case SplitBehavior::kContiguous:
      merge(
          stretches, [](bool is, bool was) { return is == was; }, out);
      break;
    case SplitBehavior::kMergedWithPrevious:
      merge(
          stretches, [](bool is, bool was) { return is && !was; }, out);
      break;
    case SplitBehavior::kMergedWithNext: {
      std::reverse(stretches.begin(), stretches.end());
      merge(
          stretches, [](bool is, bool was) { return is && !was; }, out);
      std::reverse(out.begin() + static_cast<std::ptrdiff_t>(first), out.end());
      break;
    }
  }
  const auto is_empty = [](const TextSpan& span) { return span.begin == span.end; };
  out.erase(std::remove_if(out.begin() + static_cast<std::ptrdiff_t>(first), out.end(), is_empty),
            out.end());
}

}  // namespace nibble
