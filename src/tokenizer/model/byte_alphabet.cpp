#include "tokenizer/model/byte_alphabet.h"

#include <array>

#include "tokenizer/unicode/utf8.h"

namespace nibble {
namespace {

// The stand-ins for the 68 bytes that are not printable reach from U+0100 to U+0143.
constexpr size_t kLetterEnd = 0x144;

struct Alphabet {
  std::array<char32_t, 256> letter_of{};
  std::array<int16_t, kLetterEnd> byte_of{};  // -1: not a letter
};

Alphabet make_alphabet() {
  Alphabet alphabet;
  alphabet.byte_of.fill(-1);
  char32_t next = 0x100;
  for (unsigned byte = 0; byte < 256; ++byte) {
    const bool is_printable = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
    const char32_t letter = is_printable ? byte : next++;
    alphabet.letter_of[byte] = letter;
    alphabet.byte_of[letter] = static_cast<int16_t>(byte);
  }
  return alphabet;
}

const Alphabet& alphabet() {
  static const Alphabet instance = make_alphabet();
  return instance;
}

}  // namespace

char32_t letter_of_byte(uint8_t byte) { return alphabet().letter_of[byte]; }

std::string to_byte_alphabet(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) append_utf8(out, letter_of_byte(static_cast<uint8_t>(c)));
  return out;
}

std::optional<std::string> from_byte_alphabet(std::string_view letters) {
  std::string out;
  const char* const end = letters.data() + letters.size();
  for (const char* at = letters.data(); at != end;) {
    const char32_t letter = next_code_point(at);
    if (letter >= kLetterEnd || alphabet().byte_of[letter] < 0) return std::nullopt;
    out.push_back(static_cast<char>(alphabet().byte_of[letter]));
  }
  return out;
}

}  // namespace nibble
