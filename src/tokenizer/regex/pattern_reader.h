// Reads an expression code point by code point, and the escapes and classes that mean sets.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/result.h"
#include "tokenizer/regex/code_point_set.h"

namespace nibble {

/// A cursor over valid UTF-8; every error names the expression and the position.
class PatternReader {
 public:
  PatternReader(std::string_view expression, std::string_view subject)
      : expression_(expression), subject_(subject) {}

  bool at_end() const { return at_ == expression_.size(); }
  /// The next byte, or 0 at the end; all syntax is ASCII.
  char peek(size_t ahead = 0) const {
    return at_ + ahead < expression_.size() ? expression_[at_ + ahead] : '\0';
  }
  bool starts_with(std::string_view text) const {
    return expression_.substr(at_).starts_with(text);
  }
  /// Moves behind `text` if it is next.
  bool skip(std::string_view text);
  /// Moves behind the next `terminator` and returns what stood before it; nothing if there is none.
  std::optional<std::string_view> take_until(char terminator);
  /// Takes one code point. Not at the end.
  char32_t take();
  /// Takes a decimal number, at most five digits; nothing if no digit is next.
  std::optional<int> take_number();

  size_t position() const { return at_; }
  void go_back(size_t position) { at_ = position; }

  Error broken(std::string_view what) const;
  Error unsupported(std::string_view what) const;

 private:
  std::string_view expression_;
  std::string_view subject_;
  size_t at_ = 0;
};

/// What an escape means once its backslash is taken: a single code point, or a set.
struct EscapedSet {
  CodePointSet set;
  std::optional<char32_t> single;
};

/// Reads the escapes that mean characters (\n, \x41, \d, \p{L}, \. ...), after the backslash.
Result<EscapedSet> read_escaped_set(PatternReader& reader);

/// Reads a bracketed class after its '['. Nested classes and `&&` are understood. `ignore_case`
/// closes the set under case folding before a leading ^ negates it.
Result<CodePointSet> read_class(PatternReader& reader, bool ignore_case);

}  // namespace nibble
