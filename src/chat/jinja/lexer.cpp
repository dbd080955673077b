#include "chat/jinja/lexer.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "chat/jinja/string_literal.h"
#include "chat/jinja/text.h"
#include "chat/jinja/unicode.h"

namespace nibble::jinja {
namespace {

bool is_ascii_digit(char c) { return c >= '0' && c <= '9'; }

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(source) {}

  std::vector<Token> run() {
    while (at_ < source_.size()) lex_outside();
    add(TokenKind::kEnd, source_.size(), "");
    return std::move(tokens_);
  }

 private:
  void add(TokenKind kind, size_t at, std::string text) {
    tokens_.push_back(Token{kind, static_cast<Position>(at), std::move(text)});
  }

  bool starts_with(size_t at, std::string_view text) const {
    return source_.substr(std::min(at, source_.size())).starts_with(text);
  }

  size_t skip_space(size_t at) const {
    while (at < source_.size()) {
      size_t next = at;
      if (!is_space(next_code_point(source_, next))) break;
      at = next;
    }
    return at;
  }

  // The next {{, {% or {#.
  size_t find_tag() const {
    for (size_t at = source_.find('{', at_); at != std::string_view::npos;
         at = source_.find('{', at + 1)) {
      if (at + 1 < source_.size() &&
          (source_[at + 1] == '{' || source_[at + 1] == '%' || source_[at + 1] == '#')) {
        return at;
      }
    }
    return std::string_view::npos;
  }

  // The sign behind an opening or before a closing delimiter: '-', '+' or 0.
  char sign_at(size_t at) const {
    if (at < source_.size() && (source_[at] == '-' || source_[at] == '+')) return source_[at];
    return 0;
  }

  // Adds the text up to a tag. A '-' removes the white space before the tag; without a '+', white
  // space between the start of the line and a block or comment goes too.
  void add_text(size_t end, char sign, bool is_variable) {
    std::string_view text = source_.substr(at_, end - at_);
    if (sign == '-') {
      while (!text.empty()) {
        size_t last = text.size() - 1;
        while (last > 0 && (text[last] & 0xC0) == 0x80) --last;
        size_t next = last;
        if (!is_space(next_code_point(text, next))) break;
        text = text.substr(0, last);
      }
    } else if (sign != '+' && !is_variable) {
      const size_t newline = text.rfind('\n');
      const size_t line = newline == std::string_view::npos ? 0 : newline + 1;
      if ((line > 0 || at_line_start_) && trim_space(text.substr(line)).empty()) {
        text = text.substr(0, line);
      }
    }
    if (!text.empty()) add(TokenKind::kData, at_, std::string(text));
  }

  // Moves on, remembering whether what was passed ended a line.
  void advance_to(size_t at) {
    if (at > at_) at_line_start_ = source_[at - 1] == '\n';
    at_ = at;
  }

  void lex_outside() {
    const size_t tag = find_tag();
    if (tag == std::string_view::npos) {
      add(TokenKind::kData, at_, std::string(source_.substr(at_)));
      at_ = source_.size();
      return;
    }
    const char kind = source_[tag + 1];
    const char sign = sign_at(tag + 2);
    add_text(tag, sign, kind == '{');
    const size_t inside = tag + 2 + (sign != 0 ? 1 : 0);
    if (kind == '#') return lex_comment(tag, inside);
    if (kind == '{') {
      add(TokenKind::kVariableBegin, tag, "{{");
      at_ = inside;
      return lex_code(true);
    }
    if (const size_t raw_end = find_raw_begin_end(inside)) {
      at_ = tag;
      advance_to(raw_end);
      return lex_raw(tag);
    }
    add(TokenKind::kBlockBegin, tag, "{%");
    at_ = inside;
    lex_code(false);
  }

  // The end of a closing delimiter of two characters at `at`, with the white space it swallows; 0
  // if there is none. `at` points to the sign where there is one.
  size_t close_end(size_t at, std::string_view delimiter, bool swallows_newline) const {
    const char sign = sign_at(at);
    const size_t first = at + (sign != 0 ? 1 : 0);
    if (!starts_with(first, delimiter)) return 0;
    const size_t end = first + delimiter.size();
    if (sign == '-') return skip_space(end);
    if (sign == '+') return swallows_newline ? end : 0;
    return swallows_newline && starts_with(end, "\n") ? end + 1 : end;
  }

  void lex_comment(size_t tag, size_t inside) {
    // Jinja misses the end only where there is any text to look at.
    if (inside >= source_.size()) return advance_to(source_.size());
    const size_t close = source_.find("#}", inside);
    if (close == std::string_view::npos) {
      fail_syntax("Missing end of comment tag", static_cast<Position>(tag));
    }
    const size_t first = close > inside && sign_at(close - 1) != 0 ? close - 1 : close;
    at_ = tag;
    advance_to(close_end(first, "#}", true));
  }

  // Where `raw %}` ends, or 0 if the tag is another one.
  size_t find_raw_begin_end(size_t inside) const {
    size_t at = skip_space(inside);
    if (!starts_with(at, "raw")) return 0;
    at = skip_space(at + 3);
    return close_end(at, "%}", false);
  }

  void lex_raw(size_t tag) {
    if (at_ >= source_.size()) return;
    for (size_t open = source_.find("{%", at_); open != std::string_view::npos;
         open = source_.find("{%", open + 1)) {
      const char sign = sign_at(open + 2);
      size_t at = skip_space(open + 2 + (sign != 0 ? 1 : 0));
      if (!starts_with(at, "endraw")) continue;
      at = skip_space(at + 6);
      if (const size_t end = close_end(at, "%}", true)) {
        add_text(open, sign, false);
        at_ = open;
        return advance_to(end);
      }
    }
    fail_syntax("Missing end of raw directive", static_cast<Position>(tag));
  }

  void lex_code(bool is_variable) {
    std::string closers;
    while (true) {
      const size_t begin = at_;
      if (closers.empty()) {
        const size_t end = is_variable ? variable_end() : close_end(at_, "%}", true);
        if (end != 0) {
          add(is_variable ? TokenKind::kVariableEnd : TokenKind::kBlockEnd, begin, "");
          return advance_to(end);
        }
      }
      if (at_ >= source_.size()) return;
      at_ = skip_space(at_);
      if (at_ != begin) continue;
      if (!lex_number() && !lex_name() && !lex_string()) lex_operator(closers);
    }
  }

  // Unlike blocks, variables do not swallow a newline and know no '+'.
  size_t variable_end() const {
    if (starts_with(at_, "}}")) return at_ + 2;
    return starts_with(at_, "-}}") ? skip_space(at_ + 3) : 0;
  }

  // Digits of a base with single underscores between them; returns where they end.
  size_t digits_end(size_t at, std::string_view digits) const {
    while (at < source_.size()) {
      const bool separated = source_[at] == '_' && at + 1 < source_.size();
      const size_t digit = at + (separated ? 1 : 0);
      if (digits.find(source_[digit]) == std::string_view::npos) break;
      at = digit + 1;
    }
    return at;
  }

  bool lex_number() {
    const size_t begin = at_;
    if (!is_ascii_digit(source_[begin])) return false;
    constexpr std::string_view kDecimal = "0123456789";
    const size_t whole = digits_end(begin, kDecimal);
    size_t end = whole;
    const bool follows_dot = begin > 0 && source_[begin - 1] == '.';
    if (!follows_dot) {
      if (starts_with(end, ".") && end + 1 < source_.size() && is_ascii_digit(source_[end + 1])) {
        end = digits_end(end + 1, kDecimal);
      }
      if (starts_with(end, "e") || starts_with(end, "E")) {
        const size_t digit = end + 1 + (sign_at(end + 1) != 0 ? 1 : 0);
        if (digit < source_.size() && is_ascii_digit(source_[digit])) {
          end = digits_end(digit, kDecimal);
        }
      }
    }
    if (end != whole) return add_number(TokenKind::kFloat, end);
    return add_number(TokenKind::kInteger, integer_end(begin, whole));
  }

  size_t integer_end(size_t begin, size_t whole) const {
    if (source_[begin] != '0') return whole;
    const char prefix = begin + 1 < source_.size() ? source_[begin + 1] : '\0';
    const std::string_view digits = prefix == 'x' || prefix == 'X'   ? "0123456789abcdefABCDEF"
                                    : prefix == 'o' || prefix == 'O' ? "01234567"
                                    : prefix == 'b' || prefix == 'B' ? "01"
                                                                     : "";
    if (digits.empty()) return digits_end(begin, "0");
    const size_t end = digits_end(begin + 2, digits);
    return end == begin + 2 ? begin + 1 : end;
  }

  bool add_number(TokenKind kind, size_t end) {
    std::string text(source_.substr(at_, end - at_));
    text.erase(std::remove(text.begin(), text.end(), '_'), text.end());
    add(kind, at_, std::move(text));
    at_ = end;
    return true;
  }

  bool lex_name() {
    const size_t begin = at_;
    size_t end = begin;
    while (end < source_.size()) {
      size_t next = end;
      const char32_t c = next_code_point(source_, next);
      if (!is_identifier_part(c) && !is_alnum(c)) break;
      if (end == begin && !is_identifier_start(c)) {
        fail_syntax("Invalid character in identifier", static_cast<Position>(begin));
      }
      end = next;
    }
    if (end == begin) return false;
    add(TokenKind::kName, begin, std::string(source_.substr(begin, end - begin)));
    at_ = end;
    return true;
  }

  bool lex_string() {
    const char quote = source_[at_];
    if (quote != '\'' && quote != '"') return false;
    size_t end = at_ + 1;
    while (end < source_.size() && source_[end] != quote) end += source_[end] == '\\' ? 2 : 1;
    if (end >= source_.size()) return false;
    add(TokenKind::kString, at_,
        decode_string_literal(source_.substr(at_ + 1, end - at_ - 1), static_cast<Position>(at_)));
    at_ = end + 1;
    return true;
  }

  void lex_operator(std::string& closers) {
    static constexpr std::string_view kSymbols[] = {
        "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
        "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"};
    const auto symbol = std::find_if(std::begin(kSymbols), std::end(kSymbols),
                                     [&](std::string_view s) { return starts_with(at_, s); });
    const auto position = static_cast<Position>(at_);
    if (symbol == std::end(kSymbols)) {
      size_t end = at_;
      next_code_point(source_, end);
      fail_syntax(fmt::format("unexpected char {}", text_repr(source_.substr(at_, end - at_))),
                  position);
    }
    const char c = (*symbol)[0];
    if (c == '(') closers.push_back(')');
    if (c == '[') closers.push_back(']');
    if (c == '{') closers.push_back('}');
    if (c == ')' || c == ']' || c == '}') {
      if (closers.empty()) fail_syntax(fmt::format("unexpected '{}'", c), position);
      if (closers.back() != c) {
        fail_syntax(fmt::format("unexpected '{}', expected '{}'", c, closers.back()), position);
      }
      closers.pop_back();
    }
    add(TokenKind::kOperator, at_, std::string(*symbol));
    at_ += symbol->size();
  }

  std::string_view source_;
  size_t at_ = 0;
  bool at_line_start_ = true;
  std::vector<Token> tokens_;
};

}  // namespace

std::string normalize_newlines(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      out.push_back(source[i]);
    } else {
      out.push_back('\n');
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    }
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

std::vector<Token> tokenize(std::string_view source) { return Lexer(source).run(); }

std::string describe(const Token& token) {
  switch (token.kind) {
    case TokenKind::kData:
      return "template data / text";
    case TokenKind::kVariableBegin:
      return "begin of print statement";
    case TokenKind::kVariableEnd:
      return "end of print statement";
    case TokenKind::kBlockBegin:
      return "begin of statement block";
    case TokenKind::kBlockEnd:
      return "end of statement block";
    case TokenKind::kString:
      return "string";
    case TokenKind::kInteger:
      return "integer";
    case TokenKind::kFloat:
      return "float";
    case TokenKind::kEnd:
      return "end of template";
    default:
      return token.text;
  }
}

}  // namespace nibble::jinja
