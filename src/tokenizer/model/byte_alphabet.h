// The printable stand-ins for bytes in which byte-level vocabularies are written.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace nibble {

/// The character that stands for a byte: itself where it is printable Latin-1 (0x21-0x7E,
/// 0xA1-0xAC, 0xAE-0xFF), else the next unused one from U+0100 on (space is U+0120, "Ġ").
char32_t letter_of_byte(uint8_t byte);

/// Bytes written in the alphabet.
std::string to_byte_alphabet(std::string_view bytes);

/// The bytes that valid UTF-8 in the alphabet stands for; nothing if it has any other character.
std::optional<std::string> from_byte_alphabet(std::string_view letters);

}  // namespace nibble
