// Python's two ways to format text: the % operator, and str.format with its format specifications.
#pragma once

#include <string>
#include <string_view>

#include "chat/jinja/runtime.h"
#include "chat/jinja/value.h"

namespace nibble::jinja {

/// format % arguments, where arguments is a tuple, a mapping or one value.
Value format_percent(Runtime& runtime, const Value& format, const Value& arguments);

/// format.format(*positional, **named).
Value format_braces(Runtime& runtime, const Value& format, const Arguments& arguments);

/// format(value, specification).
std::string format_value(Runtime& runtime, const Value& value, std::string_view specification);

/// How one number or text is laid out.
struct FieldStyle {
  char32_t fill = ' ';
  char align = 0;  ///< '<', '>', '^', '=' or 0 for the type's own
  char sign = 0;   ///< '-', '+', ' ' or 0 for none given
  bool alternate = false;
  int64_t width = 0;
  char grouping = 0;  ///< ',' or '_' between groups of digits, or 0
  int64_t precision = -1;
  char type = 0;
};

/// Widths and precisions beyond this stop the rendering.
constexpr int64_t kMaxFieldWidth = 1 << 20;

// The layouts of a text, an integer and a float; shared by both ways of formatting.
std::string layout_text(Runtime& runtime, std::string_view text, const FieldStyle& style);
std::string layout_integer(Runtime& runtime, const BigInt& value, const FieldStyle& style);
std::string layout_float(Runtime& runtime, double value, const FieldStyle& style);

}  // namespace nibble::jinja
