// Compiled regular expressions with the meaning they have in the reference tokenizer's engine.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace nibble {

/// A stretch of text in bytes: [begin, end).
struct TextSpan {
  size_t begin;
  size_t end;
};

/// Immutable and safe from several threads. Matching runs in PCRE2 (compiled to machine code where
/// the processor allows) over one byte a code point, see symbol_map.h.
class Regex {
 public:
  /// Errors: kCorrupt (syntax), kUnsupported (see parse_pattern), kLimit (too large).
  static Result<Regex> compile(std::string_view expression, std::string_view subject);

  /// An expression that matches exactly `literal`.
  static Result<Regex> compile_literal(std::string_view literal, std::string_view subject);

  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;
  ~Regex();

  /// Replaces `out` by all matches in valid UTF-8, from left to right and disjoint; an empty match
  /// directly behind another match does not count. `symbols` is working memory.
  /// Errors: kLimit where matching would take exponential or quadratic time.
  Status find_all(std::string_view text, std::vector<uint8_t>& symbols,
                  std::vector<TextSpan>& out) const;

 private:
  struct Program;
  explicit Regex(std::unique_ptr<Program> program);
  std::unique_ptr<Program> program_;
};

}  // namespace nibble
