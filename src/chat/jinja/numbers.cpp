#include "chat/jinja/numbers.h"

#include <array>
#include <charconv>
#include <cmath>
#include <limits>

#include "chat/jinja/unicode.h"

namespace nibble::jinja {
namespace {

// Drops underscores that stand between two digits; nothing if one stands elsewhere.
std::optional<std::string> without_separators(std::string_view digits) {
  const auto is_digit_at = [&](size_t i) {
    return i < digits.size() && std::isalnum(static_cast<unsigned char>(digits[i])) != 0;
  };
  std::string out;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (digits[i] != '_') {
      out.push_back(digits[i]);
    } else if (i == 0 || !is_digit_at(i - 1) || !is_digit_at(i + 1)) {
      return std::nullopt;
    }
  }
  return out;
}

// Digits of any script become ASCII ones, as int() and float() read them.
std::string with_ascii_digits(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const char32_t c = next_code_point(text, at);
    const int digit = decimal_value(c);
    append_code_point(out, digit >= 0 ? static_cast<char32_t>('0' + digit) : c);
  }
  return out;
}

bool take_sign(std::string_view& text) {
  if (text.empty() || (text[0] != '-' && text[0] != '+')) return false;
  const bool negative = text[0] == '-';
  text.remove_prefix(1);
  return negative;
}

uint32_t base_of_prefix(std::string_view text) {
  if (text.size() < 2 || text[0] != '0') return 0;
  switch (text[1]) {
    case 'x':
    case 'X':
      return 16;
    case 'o':
    case 'O':
      return 8;
    case 'b':
    case 'B':
      return 2;
    default:
      return 0;
  }
}

}  // namespace

std::string float_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  std::array<char, 40> buffer{};
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value,
                                 std::chars_format::scientific);
  const std::string_view text(buffer.data(), static_cast<size_t>(end.ptr - buffer.data()));
  const size_t e = text.find('e');
  const int exponent = std::atoi(std::string(text.substr(e + 1)).c_str());
  std::string sign;
  std::string digits;
  for (const char c : text.substr(0, e)) {
    if (c == '-') sign = "-";
    if (c >= '0' && c <= '9') digits.push_back(c);
  }
  if (exponent < -4 || exponent >= 16) {
    std::string out = sign + digits[0];
    if (digits.size() > 1) out += "." + digits.substr(1);
    const std::string power = std::to_string(std::abs(exponent));
    return out + (exponent < 0 ? "e-" : "e+") + (power.size() < 2 ? "0" : "") + power;
  }
  if (exponent < 0) {
    return sign + "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + digits;
  }
  const size_t n_whole = static_cast<size_t>(exponent) + 1;
  if (digits.size() <= n_whole) {
    return sign + digits + std::string(n_whole - digits.size(), '0') + ".0";
  }
  return sign + digits.substr(0, n_whole) + "." + digits.substr(n_whole);
}

std::optional<double> parse_float(std::string_view raw) {
  const std::string ascii = with_ascii_digits(trim_space(raw));
  const std::optional<std::string> clean = without_separators(ascii);
  if (!clean) return std::nullopt;
  std::string_view text = *clean;
  const bool negative = take_sign(text);
  if (text.empty()) return std::nullopt;
  const std::string word = to_lower(text);
  double value = 0;
  if (word == "inf" || word == "infinity") {
    value = std::numeric_limits<double>::infinity();
  } else if (word == "nan") {
    value = std::numeric_limits<double>::quiet_NaN();
  } else {
    if (text.find_first_not_of("0123456789.eE+-") != std::string_view::npos) return std::nullopt;
    const auto end = std::from_chars(text.data(), text.data() + text.size(), value);
    if (end.ptr != text.data() + text.size()) return std::nullopt;
    if (end.ec == std::errc::result_out_of_range)
      value = std::strtod(std::string(text).c_str(), nullptr);
    if (end.ec == std::errc::invalid_argument) return std::nullopt;
  }
  return negative ? -value : value;
}

std::optional<BigInt> parse_integer(std::string_view raw, uint32_t base) {
  const std::string ascii = with_ascii_digits(trim_space(raw));
  std::string_view text = ascii;
  const bool negative = take_sign(text);
  const uint32_t prefix = base_of_prefix(text);
  bool prefixed = false;
  if (prefix != 0 && (base == 0 || base == prefix)) {
    base = prefix;
    prefixed = true;
    text.remove_prefix(2);
    if (!text.empty() && text[0] == '_') text.remove_prefix(1);
  }
  const std::optional<std::string> digits = without_separators(text);
  if (!digits || digits->empty()) return std::nullopt;
  if (base == 0) {
    base = 10;
    // Without a base, leading zeros are only allowed for zero itself.
    if (!prefixed && (*digits)[0] == '0' && digits->find_first_not_of('0') != std::string::npos) {
      return std::nullopt;
    }
  }
  std::optional<BigInt> value = BigInt::parse(*digits, base);
  if (value && negative) return -*value;
  return value;
}

}  // namespace nibble::jinja
