#include "chat/jinja/string_literal.h"

#include <fmt/format.h>

#include <charconv>

#include "chat/jinja/unicode.h"

namespace nibble::jinja {
namespace {

// The plain escapes of one letter; 0 for other letters.
char simple_escape(char c) {
  switch (c) {
    case '\\':
    case '\'':
    case '"':
      return c;
    case 'a':
      return '\a';
    case 'b':
      return '\b';
    case 'f':
      return '\f';
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case 't':
      return '\t';
    case 'v':
      return '\v';
    default:
      return 0;
  }
}

size_t n_hex_digits(char c) { return c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0; }

class Decoder {
 public:
  Decoder(std::string_view raw, Position position) : raw_(raw), position_(position) {}

  std::string run() {
    while (at_ < raw_.size()) {
      if (raw_[at_] == '\\') {
        ++at_;
        escape();
      } else {
        out_.push_back(raw_[at_++]);
      }
    }
    return std::move(out_);
  }

 private:
  void put(uint32_t code, std::string_view escape_text) {
    if (code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) {
      fail_syntax(fmt::format("the escape \\{} is not a character", escape_text), position_);
    }
    append_code_point(out_, code);
  }

  void escape() {
    const char c = raw_[at_];
    if (const char plain = simple_escape(c)) {
      out_.push_back(plain);
      ++at_;
    } else if (c == '\n') {
      ++at_;
    } else if (c >= '0' && c <= '7') {
      octal();
    } else if (const size_t n = n_hex_digits(c)) {
      hexadecimal(n);
    } else if (c == 'N') {
      fail_syntax("characters by name (\\N{...}) are not supported; write \\uXXXX", position_);
    } else {
      unknown();
    }
  }

  void octal() {
    const size_t first = at_;
    uint32_t code = 0;
    while (at_ < raw_.size() && at_ < first + 3 && raw_[at_] >= '0' && raw_[at_] <= '7') {
      code = code * 8 + static_cast<uint32_t>(raw_[at_++] - '0');
    }
    put(code, raw_.substr(first, at_ - first));
  }

  void hexadecimal(size_t n_digits) {
    const std::string_view digits = raw_.substr(at_ + 1, n_digits);
    uint32_t code = 0;
    const auto end = std::from_chars(digits.data(), digits.data() + digits.size(), code, 16);
    if (digits.size() != n_digits || end.ptr != digits.data() + digits.size()) {
      fail_syntax(fmt::format("truncated \\{} escape in a string", raw_[at_]), position_);
    }
    put(code, raw_.substr(at_, n_digits + 1));
    at_ += n_digits + 1;
  }

  // The backslash stays. Jinja spells out what is not ASCII before it looks at escapes, so such a
  // character behind a backslash becomes the letters of its own escape.
  void unknown() {
    out_.push_back('\\');
    const char32_t c = next_code_point(raw_, at_);
    if (c < 0x80) {
      append_code_point(out_, c);
    } else if (c < 0x100) {
      out_ += fmt::format("x{:02x}", static_cast<uint32_t>(c));
    } else if (c < 0x10000) {
      out_ += fmt::format("u{:04x}", static_cast<uint32_t>(c));
    } else {
      out_ += fmt::format("U{:08x}", static_cast<uint32_t>(c));
    }
  }

  std::string_view raw_;
  Position position_;
  size_t at_ = 0;
  std::string out_;
};

}  // namespace

std::string decode_string_literal(std::string_view raw, Position position) {
  return Decoder(raw, position).run();
}

}  // namespace nibble::jinja
