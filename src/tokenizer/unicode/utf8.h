// UTF-8 one character at a time: strict decoding, encoding, and the lossy decoding of byte strings.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace nibble {

/// What stands at one position of a byte string. `n_bytes` is never 0: for a broken sequence it is
/// the length of its longest prefix that could have begun a character (the unit that one U+FFFD
/// replaces, as the Unicode standard recommends), at least 1.
struct Utf8Step {
  enum class Kind {
    kCharacter,
    kBroken,
    kCutOff
  };  ///< kCutOff: the string ends inside a character
  Kind kind;
  uint8_t n_bytes;
  char32_t code_point;  ///< only for kCharacter
};

/// Examines the first character of non-empty `bytes`. Overlong forms, surrogates and values above
/// U+10FFFF are broken.
Utf8Step step_utf8(std::string_view bytes);

/// Decodes the character that starts at `at` of text known to be valid, and moves `at` behind it.
inline char32_t next_code_point(const char*& at) {
  const auto byte = [&](int i) { return static_cast<char32_t>(static_cast<uint8_t>(at[i])); };
  const char32_t lead = byte(0);
  if (lead < 0x80) {
    at += 1;
    return lead;
  }
  if (lead < 0xE0) {
    const char32_t code_point = (lead & 0x1F) << 6 | (byte(1) & 0x3F);
    at += 2;
    return code_point;
  }
  if (lead < 0xF0) {
    const char32_t code_point = (lead & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F);
    at += 3;
    return code_point;
  }
  const char32_t code_point =
      (lead & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F);
  at += 4;
  return code_point;
}

/// Bytes of the character that the lead byte of valid text announces.
inline size_t utf8_length(char lead) {
  const auto byte = static_cast<uint8_t>(lead);
  return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

/// Appends one code point. Surrogates and values above U+10FFFF must not be given.
void append_utf8(std::string& out, char32_t code_point);

/// The number of bytes before the first one that is not valid UTF-8; text.size() if all is valid.
size_t valid_utf8_prefix(std::string_view text);

/// Appends `bytes` as text, U+FFFD for every broken sequence. Returns the bytes consumed: all of
/// them, or without `is_final` all but a character that is cut off at the end (1 to 3 bytes).
size_t append_lossy_utf8(std::string& out, std::string_view bytes, bool is_final);

}  // namespace nibble
