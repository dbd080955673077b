// Format specifications: how a text, an integer or a float fills a field.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "chat/jinja/failure.h"
#include "chat/jinja/formatting.h"
#include "chat/jinja/numbers.h"
#include "chat/jinja/operators.h"
#include "chat/jinja/text.h"
#include "chat/jinja/unicode.h"

namespace nibble::jinja {
namespace {

void append_fill(std::string& out, char32_t fill, int64_t count) {
  for (int64_t i = 0; i < count; ++i) append_code_point(out, fill);
}

// Puts the digits between a sign with prefix and the fill that the style asks for.
std::string pad(Runtime& runtime, std::string_view prefix, std::string_view body,
                const FieldStyle& style, char default_align) {
  const char align = style.align != 0 ? style.align : default_align;
  const auto used = static_cast<int64_t>(count_code_points(prefix) + count_code_points(body));
  const int64_t missing = std::max<int64_t>(0, style.width - used);
  runtime.expect_bytes(prefix.size() + body.size() + static_cast<size_t>(missing) * 4);
  std::string out;
  const int64_t before = align == '<' || align == '=' ? 0 : align == '^' ? missing / 2 : missing;
  append_fill(out, style.fill, before);
  out += prefix;
  if (align == '=') append_fill(out, style.fill, missing);
  out += body;
  if (align != '=') append_fill(out, style.fill, missing - before);
  return out;
}

std::string group_digits(std::string_view digits, char separator, size_t group) {
  std::string out;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i != 0 && (digits.size() - i) % group == 0) out.push_back(separator);
    out.push_back(digits[i]);
  }
  return out;
}

// Applies grouping to the whole part of a number, and zero padding that takes part in it.
std::string finish_number(Runtime& runtime, const std::string& prefix, std::string whole,
                          std::string_view rest, const FieldStyle& style, size_t group) {
  if (style.grouping == 0) return pad(runtime, prefix, whole + std::string(rest), style, '>');
  std::string grouped = group_digits(whole, style.grouping, group);
  if (style.align == '=' && style.fill == '0') {
    const int64_t fixed = static_cast<int64_t>(prefix.size() + rest.size());
    while (static_cast<int64_t>(grouped.size()) + fixed < style.width) {
      whole.insert(whole.begin(), '0');
      grouped = group_digits(whole, style.grouping, group);
      runtime.step_bytes(grouped.size());
    }
  }
  return pad(runtime, prefix, grouped + std::string(rest), style, '>');
}

std::string sign_text(bool negative, char sign) {
  if (negative) return "-";
  return sign == '-' || sign == 0 ? std::string() : std::string(1, sign);
}

std::string layout_character(Runtime& runtime, const BigInt& value, const FieldStyle& style) {
  const std::optional<int64_t> code = value.to_int64();
  if (!code || *code < 0 || *code > 0x10FFFF || (*code >= 0xD800 && *code <= 0xDFFF)) {
    fail("%c arg not in range(0x110000)");
  }
  std::string text;
  append_code_point(text, static_cast<char32_t>(*code));
  return pad(runtime, "", text, style, '<');
}

std::string float_digits(double magnitude, const FieldStyle& style) {
  const int precision = static_cast<int>(style.precision);
  switch (style.type) {
    case 'f':
    case 'F':
      return style.alternate ? fmt::format("{:#.{}f}", magnitude, precision < 0 ? 6 : precision)
                             : fmt::format("{:.{}f}", magnitude, precision < 0 ? 6 : precision);
    case 'e':
    case 'E':
      return style.alternate ? fmt::format("{:#.{}e}", magnitude, precision < 0 ? 6 : precision)
                             : fmt::format("{:.{}e}", magnitude, precision < 0 ? 6 : precision);
    case '%':
      return fmt::format("{:.{}f}", magnitude * 100, precision < 0 ? 6 : precision) + "%";
    case 'g':
    case 'G':
    case 'n': {
      const int n_digits = precision < 0 ? 6 : std::max(precision, 1);
      return style.alternate ? fmt::format("{:#.{}g}", magnitude, n_digits)
                             : fmt::format("{:.{}g}", magnitude, n_digits);
    }
    default:
      break;
  }
  if (precision < 0) return float_text(magnitude);
  // Without a type: like g, but a whole number keeps one digit behind the point.
  std::string out = fmt::format("{:.{}g}", magnitude, std::max(precision, 1));
  if (out.find_first_of(".e") == std::string::npos) out += ".0";
  return out;
}

class SpecificationReader {
 public:
  explicit SpecificationReader(std::string_view text) : chars_(to_code_points(text)) {}

  FieldStyle read() {
    FieldStyle style;
    read_alignment(style);
    if (has("+- ")) style.sign = static_cast<char>(chars_[at_++]);
    if (has("z")) ++at_;
    if (has("#")) {
      style.alternate = true;
      ++at_;
    }
    if (has("0") && style.align == 0) {
      style.fill = '0';
      style.align = '=';
      ++at_;
    }
    style.width = std::max<int64_t>(0, read_number());
    if (has(",_")) style.grouping = static_cast<char>(chars_[at_++]);
    if (has(".")) {
      ++at_;
      style.precision = read_number();
      if (style.precision < 0) fail("Format specifier missing precision");
    }
    if (at_ < chars_.size() && chars_[at_] < 0x80) style.type = static_cast<char>(chars_[at_++]);
    if (at_ != chars_.size()) fail("Invalid format specifier");
    return style;
  }

 private:
  bool has(std::string_view accepted) const {
    return at_ < chars_.size() && chars_[at_] < 0x80 &&
           accepted.find(static_cast<char>(chars_[at_])) != std::string_view::npos;
  }

  void read_alignment(FieldStyle& style) {
    const auto is_align = [&](size_t i) {
      return i < chars_.size() &&
             (chars_[i] == '<' || chars_[i] == '>' || chars_[i] == '^' || chars_[i] == '=');
    };
    if (is_align(1)) {
      style.fill = chars_[0];
      style.align = static_cast<char>(chars_[1]);
      at_ = 2;
    } else if (is_align(0)) {
      style.align = static_cast<char>(chars_[0]);
      at_ = 1;
    }
  }

  int64_t read_number() {
    int64_t number = -1;
    while (has("0123456789")) {
      number = std::max<int64_t>(number, 0) * 10 + static_cast<int64_t>(chars_[at_++] - '0');
      if (number > kMaxFieldWidth) fail_limit("a format specification asks for too wide a field");
    }
    return number;
  }

  std::u32string chars_;
  size_t at_ = 0;
};

}  // namespace

std::string layout_text(Runtime& runtime, std::string_view text, const FieldStyle& style) {
  if (style.precision >= 0) {
    text = text.substr(0, byte_of_code_point(text, static_cast<size_t>(style.precision)));
  }
  return pad(runtime, "", text, style, '<');
}

std::string layout_integer(Runtime& runtime, const BigInt& value, const FieldStyle& style) {
  const bool is_decimal = style.type == 0 || style.type == 'd';
  if (style.grouping != 0 && !is_decimal &&
      (style.grouping == ',' || style.type == 'c' || style.type == 'n')) {
    fail(fmt::format("Cannot specify '{}' with '{}'.", style.grouping, style.type));
  }
  uint32_t base = 10;
  std::string marker;
  switch (style.type) {
    case 'c':
      return layout_character(runtime, value, style);
    case 'b':
      base = 2;
      marker = "0b";
      break;
    case 'o':
      base = 8;
      marker = "0o";
      break;
    case 'x':
    case 'X':
      base = 16;
      marker = "0x";
      break;
    default:
      break;
  }
  std::string digits = (value.is_negative() ? -value : value).to_string(base);
  if (style.precision > static_cast<int64_t>(digits.size())) {
    runtime.expect_bytes(static_cast<size_t>(style.precision));
    digits.insert(0, static_cast<size_t>(style.precision) - digits.size(), '0');
  }
  std::string prefix = sign_text(value.is_negative(), style.sign);
  if (style.alternate) prefix += marker;
  if (style.type == 'X') {
    digits = to_upper(digits);
    prefix = to_upper(prefix);
  }
  return finish_number(runtime, prefix, std::move(digits), "", style, base == 10 ? 3 : 4);
}

std::string layout_float(Runtime& runtime, double value, const FieldStyle& style) {
  const std::string prefix = sign_text(std::signbit(value) && !std::isnan(value), style.sign);
  std::string digits;
  if (std::isnan(value) || std::isinf(value)) {
    digits = std::isnan(value) ? "nan" : "inf";
    if (style.type == '%') digits += '%';
  } else {
    runtime.expect_bytes(static_cast<size_t>(std::max<int64_t>(0, style.precision)));
    digits = float_digits(std::fabs(value), style);
  }
  if (style.type == 'E' || style.type == 'G' || style.type == 'F') digits = to_upper(digits);
  const size_t n_whole = std::min(digits.find_first_not_of("0123456789"), digits.size());
  return finish_number(runtime, prefix, digits.substr(0, n_whole), digits.substr(n_whole), style,
                       3);
}

namespace {

// Texts have no sign, no base and no groups of digits.
void refuse_number_style(const FieldStyle& style) {
  constexpr std::string_view kPlace = "not allowed in string format specifier";
  if (style.sign != 0) fail(fmt::format("{} {}", style.sign == ' ' ? "Space" : "Sign", kPlace));
  if (style.alternate) fail(fmt::format("Alternate form (#) {}", kPlace));
  if (style.grouping != 0) fail(fmt::format("Cannot specify '{}' with 's'.", style.grouping));
  if (style.align == '=' && style.fill != '0') fail(fmt::format("'=' alignment {}", kPlace));
}

}  // namespace

std::string format_value(Runtime& runtime, const Value& value, std::string_view specification) {
  if (specification.empty()) return to_text(runtime, value);
  const auto refuse_type = [&](char type) {
    fail(fmt::format("Unknown format code '{}' for object of type '{}'", type, type_name(value)));
  };
  if (value.is_string()) {
    const FieldStyle style = SpecificationReader(specification).read();
    if (style.type != 0 && style.type != 's') refuse_type(style.type);
    refuse_number_style(style);
    FieldStyle text_style = style;
    if (text_style.align == '=') text_style.align = '<';
    return layout_text(runtime, text_of(value), text_style);
  }
  if (!value.is_number()) {
    fail(fmt::format("unsupported format string passed to {}.__format__", type_name(value)));
  }
  FieldStyle style = SpecificationReader(specification).read();
  constexpr std::string_view kFloatTypes = "eEfFgG%";
  const bool is_float_type =
      style.type != 0 && kFloatTypes.find(style.type) != std::string_view::npos;
  if (value.is_integral() && !is_float_type) {
    if (style.type != 0 && std::string_view("bcdoxXn").find(style.type) == std::string_view::npos) {
      refuse_type(style.type);
    }
    if (style.precision >= 0) fail("Precision not allowed in integer format specifier");
    return layout_integer(runtime, to_big(value), style);
  }
  if (style.type != 0 && !is_float_type && style.type != 'n') refuse_type(style.type);
  return layout_float(runtime, to_double(value), style);
}

}  // namespace nibble::jinja
