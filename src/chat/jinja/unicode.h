// UTF-8 text as Python's str sees it: code points, character classes and case mappings.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace nibble::jinja {

/// Reads the code point that starts at byte `at` of valid UTF-8 and moves `at` behind it.
char32_t next_code_point(std::string_view text, size_t& at);

/// Appends one code point as UTF-8.
void append_code_point(std::string& text, char32_t code_point);

/// The code points of valid UTF-8, and back.
std::u32string to_code_points(std::string_view text);
std::string to_utf8(std::u32string_view code_points);

/// The number of code points of valid UTF-8. Cost: one pass.
size_t count_code_points(std::string_view text);

/// The byte position of the code point with this index, or the size where there are fewer.
size_t byte_of_code_point(std::string_view text, size_t index);

/// The position of the first byte that is not valid UTF-8 (surrogates are not), or npos.
size_t find_invalid_utf8(std::string_view text);

/// The text with each invalid byte replaced by U+FFFD.
std::string replace_invalid_utf8(std::string_view text);

// Character classes, as the str methods of the same names (isspace, isalpha, ...) define them.
bool is_space(char32_t c);
bool is_printable(char32_t c);
bool is_alpha(char32_t c);
bool is_decimal(char32_t c);
bool is_digit(char32_t c);
bool is_numeric(char32_t c);
bool is_alnum(char32_t c);
bool is_lower(char32_t c);
bool is_upper(char32_t c);
bool is_title(char32_t c);
bool is_identifier_start(char32_t c);
bool is_identifier_part(char32_t c);

/// 0 to 9 for a decimal digit of any script, -1 for other characters.
int decimal_value(char32_t c);

// Case mappings of whole texts, one character to several where Unicode says so.
std::string to_upper(std::string_view text);
std::string to_lower(std::string_view text);
std::string to_title(std::string_view text);
std::string to_capitalized(std::string_view text);
std::string to_swapped_case(std::string_view text);
std::string to_folded_case(std::string_view text);

/// The text without the white space at its ends.
std::string_view trim_space(std::string_view text);

}  // namespace nibble::jinja
