// A regular expression in the syntax of Oniguruma, the reference engine, taken apart into PCRE2
// syntax and the sets of code points that its characters and classes match.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "tokenizer/regex/code_point_set.h"

namespace nibble {

/// One piece of a pattern: either syntax that PCRE2 reads as it stands, or one character out of a
/// set.
struct PatternPart {
  static constexpr int kNoSet = -1;
  std::string syntax;
  int set_index = kNoSet;
};

/// The parts in order; the sets are distinct.
struct Pattern {
  std::vector<PatternPart> parts;
  std::vector<CodePointSet> sets;
};

/// Translates `expression`. Supported: literals, escapes, `.`, classes (nested, `&&`), \d \w \s \h
/// \R, \p{general category}, groups, (?i) (?m), look-around, atomic groups, anchors, \b, all
/// quantifiers, with Oniguruma's meaning where the two engines differ (`a{2}+`, `a(?i)b|c`, `^`,
/// `(?m)`). Case-insensitive matching compares single characters: `(?i)ss` does not match "ß".
/// Errors: kUnsupported (back-references, \X, script names, conditionals ...), kCorrupt (broken
/// syntax), kLimit (longer than 64 KiB).
Result<Pattern> parse_pattern(std::string_view expression, std::string_view subject);

}  // namespace nibble
