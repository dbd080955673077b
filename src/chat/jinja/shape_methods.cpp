// Methods of str that change case, strip, pad, join, format or classify.
#include <fmt/format.h>

#include <algorithm>

#include "chat/jinja/failure.h"
#include "chat/jinja/formatting.h"
#include "chat/jinja/items.h"
#include "chat/jinja/methods.h"
#include "chat/jinja/operators.h"
#include "chat/jinja/parameters.h"
#include "chat/jinja/text.h"
#include "chat/jinja/unicode.h"

namespace nibble::jinja {
namespace {

template <std::string (*kMap)(std::string_view)>
Value map_case(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Parameters args("a case method", arguments, {});
  rt.step_bytes(text_of(self).size() * 4);
  return rt.string(kMap(text_of(self)), is_markup(self));
}

Value strip_sides(Runtime& rt, const Value& self, const Arguments& arguments, bool left,
                  bool right) {
  const Parameters args("strip", arguments, {"chars"});
  rt.step_bytes(text_of(self).size());
  const Value chars = args.get(0);
  if (chars.is_none()) {
    return rt.string(std::string(strip_text(text_of(self), nullptr, left, right)), is_markup(self));
  }
  if (!chars.is_string()) fail("strip arg must be None or str");
  const std::u32string set = to_code_points(text_of(chars));
  return rt.string(std::string(strip_text(text_of(self), &set, left, right)), is_markup(self));
}

Value strip(Runtime& rt, const Value& self, const Arguments& arguments) {
  return strip_sides(rt, self, arguments, true, true);
}

Value strip_left(Runtime& rt, const Value& self, const Arguments& arguments) {
  return strip_sides(rt, self, arguments, true, false);
}

Value strip_right(Runtime& rt, const Value& self, const Arguments& arguments) {
  return strip_sides(rt, self, arguments, false, true);
}

std::string repeat_fill(Runtime& runtime, std::string_view fill, int64_t count) {
  runtime.expect_items(static_cast<uint64_t>(std::max<int64_t>(count, 0)), fill.size());
  std::string out;
  for (int64_t i = 0; i < count; ++i) out += fill;
  return out;
}

// Adds so many fill characters before and after.
Value surround(Runtime& runtime, const Value& text, std::string_view fill, int64_t before,
               int64_t after) {
  std::string out = repeat_fill(runtime, fill, before);
  out += text_of(text);
  out += repeat_fill(runtime, fill, after);
  return runtime.string(std::move(out), is_markup(text));
}

std::string fill_of(const Parameters& args) {
  if (!args.has(1)) return " ";
  const Value fill = args.get(1);
  if (!fill.is_string() || fill.as<StringObject>().n_chars != 1) {
    fail("The fill character must be exactly one character long");
  }
  return text_of(fill);
}

int64_t missing_width(const Value& self, int64_t width) {
  const auto n = static_cast<int64_t>(self.as<StringObject>().n_chars);
  return width > n ? width - n : 0;
}

Value center(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Parameters args("center", arguments, {"width", "fillchar"}, 1);
  return center_text(rt, self, to_index(args.get(0)), fill_of(args));
}

Value justify_left(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Parameters args("ljust", arguments, {"width", "fillchar"}, 1);
  return surround(rt, self, fill_of(args), 0, missing_width(self, to_index(args.get(0))));
}

Value justify_right(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Parameters args("rjust", arguments, {"width", "fillchar"}, 1);
  return surround(rt, self, fill_of(args), missing_width(self, to_index(args.get(0))), 0);
}

Value fill_zeros(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Parameters args("zfill", arguments, {"width"}, 1);
  const std::string& text = text_of(self);
  const bool has_sign = !text.empty() && (text[0] == '-' || text[0] == '+');
  std::string out = text.substr(0, has_sign ? 1 : 0);
  out += repeat_fill(rt, "0", missing_width(self, to_index(args.get(0))));
  out += text.substr(has_sign ? 1 : 0);
  return rt.string(std::move(out), is_markup(self));
}

Value expand_tabs(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Parameters args("expandtabs", arguments, {"tabsize"});
  const int64_t tab = args.has(0) ? to_index(args.get(0)) : 8;
  if (tab > kMaxFieldWidth) fail_limit("expandtabs() asks for too wide tabs");
  std::string out;
  int64_t column = 0;
  for (const char32_t c : to_code_points(text_of(self))) {
    if (c == '\t') {
      const int64_t n = tab > 0 ? tab - column % tab : 0;
      rt.expect_bytes(out.size() + static_cast<size_t>(n));
      out.append(static_cast<size_t>(n), ' ');
      column += n;
    } else {
      append_code_point(out, c);
      column = c == '\n' || c == '\r' ? 0 : column + 1;
    }
  }
  return rt.string(std::move(out), is_markup(self));
}

Value join(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Parameters args("join", arguments, {"iterable"}, 1);
  if (!is_iterable(args.get(0))) fail("can only join an iterable");
  return join_texts(rt, self, args.get(0));
}

Value format(Runtime& rt, const Value& self, const Arguments& arguments) {
  return format_braces(rt, self, arguments);
}

Value format_map(Runtime& rt, const Value& self, const Arguments& arguments) {
  if (!arguments.named.empty()) fail("format_map() takes no keyword arguments");
  if (arguments.positional.size() != 1) {
    fail(fmt::format("format_map() takes exactly one argument ({} given)",
                     arguments.positional.size()));
  }
  const Value& mapping = arguments.positional[0];
  Arguments fields;
  if (mapping.is(Kind::kDict)) {
    for (const auto& [key, value] : mapping.as<DictObject>().items) {
      if (key.is_string()) fields.named.emplace_back(text_of(key), value);
    }
  }
  return format_braces(rt, self, fields);
}

Value translate(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Parameters args("translate", arguments, {"table"}, 1);
  const Value table = args.get(0);
  std::string out;
  for (const char32_t c : to_code_points(text_of(self))) {
    const std::optional<Value> entry = try_item(rt, table, Value::integer(static_cast<int64_t>(c)));
    if (!entry) {
      append_code_point(out, c);
    } else if (entry->is_string()) {
      out += text_of(*entry);
    } else if (entry->is_integral()) {
      const int64_t code = to_index(*entry);
      if (code < 0 || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) {
        fail("character mapping must be in range(0x110000)");
      }
      append_code_point(out, static_cast<char32_t>(code));
    } else if (!entry->is_none()) {
      fail("character mapping must return integer, None or str");
    }
    rt.expect_bytes(out.size());
  }
  return rt.string(std::move(out), is_markup(self));
}

Value encode(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Parameters args("encode", arguments, {"encoding", "errors"});
  const std::string name = args.has(0) ? to_lower(expect_text(args.get(0), "encode")) : "utf-8";
  if (name == "utf-8" || name == "utf8") return rt.bytes(text_of(self));
  const bool is_latin = name == "latin-1" || name == "latin1" || name == "iso-8859-1";
  if (!is_latin && name != "ascii") fail(fmt::format("unknown encoding: {}", name));
  std::string out;
  for (const char32_t c : to_code_points(text_of(self))) {
    if (c >= (is_latin ? 0x100u : 0x80u)) {
      fail(fmt::format("'{}' codec can't encode a character of the text", name));
    }
    out.push_back(static_cast<char>(c));
  }
  return rt.bytes(std::move(out));
}

// All characters satisfy the predicate, and there is one.
template <bool (*kPredicate)(char32_t), bool kEmpty = false>
Value all_are(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Parameters args("a predicate", arguments, {});
  const std::u32string chars = to_code_points(text_of(self));
  rt.step_bytes(chars.size());
  if (chars.empty()) return Value::boolean(kEmpty);
  return Value::boolean(std::all_of(chars.begin(), chars.end(), kPredicate));
}

bool is_ascii_char(char32_t c) { return c < 0x80; }

// No character of the unwanted cases, and at least one of the wanted case.
template <bool (*kWanted)(char32_t), bool (*kUnwanted)(char32_t)>
Value is_cased_as(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Parameters args("a predicate", arguments, {});
  const std::u32string chars = to_code_points(text_of(self));
  rt.step_bytes(chars.size());
  const bool bad = std::any_of(chars.begin(), chars.end(),
                               [](char32_t c) { return kUnwanted(c) || is_title(c); });
  return Value::boolean(!bad && std::any_of(chars.begin(), chars.end(), kWanted));
}

Value is_titled(Runtime&, const Value& self, const Arguments& arguments) {
  const Parameters args("istitle", arguments, {});
  bool inside_word = false;
  bool found = false;
  for (const char32_t c : to_code_points(text_of(self))) {
    const bool starts = is_upper(c) || is_title(c);
    const bool continues = is_lower(c);
    if ((starts && inside_word) || (continues && !inside_word)) return Value::boolean(false);
    inside_word = starts || continues;
    found = found || inside_word;
  }
  return Value::boolean(found);
}

Value is_identifier(Runtime&, const Value& self, const Arguments& arguments) {
  const Parameters args("isidentifier", arguments, {});
  const std::u32string chars = to_code_points(text_of(self));
  return Value::boolean(!chars.empty() && is_identifier_start(chars[0]) &&
                        std::all_of(chars.begin(), chars.end(), is_identifier_part));
}

struct Method {
  std::string_view name;
  MethodFunction function;
};

constexpr Method kMethods[] = {
    {"capitalize", map_case<to_capitalized>},
    {"casefold", map_case<to_folded_case>},
    {"center", center},
    {"encode", encode},
    {"expandtabs", expand_tabs},
    {"format", format},
    {"format_map", format_map},
    {"isalnum", all_are<is_alnum>},
    {"isalpha", all_are<is_alpha>},
    {"isascii", all_are<is_ascii_char, true>},
    {"isdecimal", all_are<is_decimal>},
    {"isdigit", all_are<is_digit>},
    {"isidentifier", is_identifier},
    {"islower", is_cased_as<is_lower, is_upper>},
    {"isnumeric", all_are<is_numeric>},
    {"isprintable", all_are<is_printable, true>},
    {"isspace", all_are<is_space>},
    {"istitle", is_titled},
    {"isupper", is_cased_as<is_upper, is_lower>},
    {"join", join},
    {"ljust", justify_left},
    {"lower", map_case<to_lower>},
    {"lstrip", strip_left},
    {"rjust", justify_right},
    {"rstrip", strip_right},
    {"strip", strip},
    {"swapcase", map_case<to_swapped_case>},
    {"title", map_case<to_title>},
    {"translate", translate},
    {"upper", map_case<to_upper>},
    {"zfill", fill_zeros},
};

}  // namespace

std::string_view strip_text(std::string_view text, const std::u32string* chars, bool left,
                            bool right) {
  const auto strips = [&](char32_t c) {
    return chars == nullptr ? is_space(c) : chars->find(c) != std::u32string::npos;
  };
  while (left && !text.empty()) {
    size_t next = 0;
    if (!strips(next_code_point(text, next))) break;
    text.remove_prefix(next);
  }
  while (right && !text.empty()) {
    size_t last = text.size() - 1;
    while (last > 0 && (text[last] & 0xC0) == 0x80) --last;
    size_t at = last;
    if (!strips(next_code_point(text, at))) break;
    text = text.substr(0, last);
  }
  return text;
}

Value center_text(Runtime& runtime, const Value& text, int64_t width, std::string_view fill) {
  const int64_t missing = missing_width(text, width);
  // Where the sides differ, Python gives the odd one to the left if the width is odd.
  const int64_t left = missing / 2 + (missing & width & 1);
  return surround(runtime, text, fill, left, missing - left);
}

Value join_texts(Runtime& runtime, const Value& separator, const Value& items) {
  const bool markup = is_markup(separator);
  std::string out;
  ItemReader reader(items);
  size_t n = 0;
  size_t checked = 0;
  for (Value item; reader.next(runtime, item); ++n) {
    if (!item.is_string() && !markup) {
      fail(fmt::format("sequence item {}: expected str instance, {} found", n, type_name(item)));
    }
    if (n != 0) out += text_of(separator);
    out += markup ? text_of(escape(runtime, item)) : text_of(item);
    if (out.size() > checked + 4096) {
      runtime.expect_bytes(out.size());
      checked = out.size() + out.size() / 2;
    }
  }
  return runtime.string(std::move(out), markup);
}

MethodFunction find_shape_method(std::string_view name) {
  for (const Method& method : kMethods) {
    if (method.name == name) return method.function;
  }
  return nullptr;
}

}  // namespace nibble::jinja
