// Filters that turn values into text and change it.
#include <fmt/format.h>

#include "chat/jinja/failure.h"
#include "chat/jinja/filters.h"
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
Value map_text(Runtime& rt, const Value& subject, const Arguments& arguments) {
  const Parameters args("a case filter", arguments, {});
  const Value text = soft_text(rt, subject);
  rt.step_bytes(text_of(text).size() * 4);
  return rt.string(kMap(text_of(text)), is_markup(text));
}

bool starts_word(char32_t c) {
  return is_space(c) || c == '-' || c == '(' || c == '{' || c == '[' || c == '<';
}

// Words begin behind white space, hyphens and opening brackets, unlike in str.title.
std::string title_words(std::string_view text) {
  const std::u32string chars = to_code_points(text);
  std::string out;
  for (size_t at = 0; at < chars.size();) {
    size_t end = at + 1;
    while (end < chars.size() && starts_word(chars[end]) == starts_word(chars[at])) ++end;
    out += to_upper(to_utf8(chars.substr(at, 1)));
    out += to_lower(to_utf8(chars.substr(at + 1, end - at - 1)));
    at = end;
  }
  return out;
}

Value trim(Runtime& rt, const Value& subject, const Arguments& arguments) {
  const Parameters args("trim", arguments, {"chars"});
  const Value text = soft_text(rt, subject);
  rt.step_bytes(text_of(text).size());
  const Value chars = args.get(0);
  if (chars.is_none()) return rt.string(std::string(trim_space(text_of(text))), is_markup(text));
  if (!chars.is_string()) fail("strip arg must be None or str");
  const std::u32string set = to_code_points(text_of(chars));
  return rt.string(std::string(strip_text(text_of(text), &set, true, true)), is_markup(text));
}

Value replace(Runtime& rt, const Value& subject, const Arguments& arguments) {
  const Parameters args("replace", arguments, {"old", "new", "count"}, 2);
  const int64_t limit = args.get(2).is_none() ? -1 : to_index(args.get(2));
  Value text = subject;
  std::string fresh = to_text(rt, args.get(1));
  if (rt.autoescape) {
    const bool escapes = is_markup(args.get(0)) || (is_markup(args.get(1)) && !is_markup(subject));
    text = escapes ? escape(rt, subject) : soft_text(rt, subject);
    if (is_markup(text) && !is_markup(args.get(1))) fresh = escape_text(fresh);
  }
  return rt.string(replace_text(rt, to_text(rt, text), to_text(rt, args.get(0)), fresh, limit),
                   rt.autoescape && is_markup(text));
}

Value string(Runtime& rt, const Value& subject, const Arguments& arguments) {
  const Parameters args("string", arguments, {});
  return soft_text(rt, subject);
}

// With autoescaping, one safe item makes the joined text safe and the others escaped.
Value join_escaped(Runtime& rt, const Value& items, const Value& separator) {
  std::vector<Value> parts = items_of(rt, items);
  bool markup = is_markup(separator);
  for (const Value& part : parts) markup = markup || is_markup(part);
  for (Value& part : parts) part = soft_text(rt, part);
  const Value glue = markup ? escape(rt, separator) : soft_text(rt, separator);
  return join_texts(rt, glue, rt.list(std::move(parts)));
}

Value join(Runtime& rt, const Value& subject, const Arguments& arguments) {
  const Parameters args("join", arguments, {"d", "attribute"});
  const Value separator = args.has(0) ? args.get(0) : rt.string("");
  const AttributePath path(rt, args.get(1));
  std::vector<Value> items;
  ItemReader reader(subject);
  for (Value item; reader.next(rt, item);) items.push_back(path.read(rt, item));
  if (rt.autoescape) return join_escaped(rt, rt.list(std::move(items)), separator);
  const std::string glue = to_text(rt, separator);
  std::string out;
  size_t checked = 0;
  for (size_t i = 0; i < items.size(); ++i) {
    if (i != 0) out += glue;
    out += to_text(rt, items[i]);
    if (out.size() > checked + 4096) {
      rt.expect_bytes(out.size());
      checked = out.size() + out.size() / 2;
    }
  }
  return rt.string(std::move(out));
}

Value format(Runtime& rt, const Value& subject, const Arguments& arguments) {
  if (!arguments.positional.empty() && !arguments.named.empty()) {
    fail("can't handle positional and keyword arguments at the same time");
  }
  const Value text = soft_text(rt, subject);
  if (arguments.named.empty()) return format_percent(rt, text, rt.tuple(arguments.positional));
  auto fields = std::make_shared<DictObject>();
  for (const auto& [name, value] : arguments.named) fields->set(rt, rt.string(name), value);
  return format_percent(rt, text, rt.dict(std::move(fields)));
}

Value count_words(Runtime& rt, const Value& subject, const Arguments& arguments) {
  const Parameters args("wordcount", arguments, {});
  int64_t n_words = 0;
  bool inside = false;
  const Value text = soft_text(rt, subject);
  rt.step_bytes(text_of(text).size());
  for (const char32_t c : to_code_points(text_of(text))) {
    const bool is_word = c == '_' || is_alnum(c);
    if (is_word && !inside) ++n_words;
    inside = is_word;
  }
  return Value::integer(n_words);
}

JsonStyle json_style(const Parameters& args) {
  JsonStyle style;
  style.ensure_ascii = args.flag(0);
  const Value indent = args.get(1);
  if (!indent.is_none()) {
    style.is_multiline = true;
    style.item_separator = std::string(",");
    if (indent.is_string()) {
      style.indent = text_of(indent);
    } else {
      const int64_t width = to_index(indent);
      if (width > kMaxFieldWidth) fail_limit("tojson asks for too wide an indent");
      style.indent.assign(static_cast<size_t>(std::max<int64_t>(0, width)), ' ');
    }
  }
  const Value separators = args.get(2);
  if (!separators.is_none()) {
    const bool is_pair = (separators.is(Kind::kTuple) || separators.is(Kind::kList)) &&
                         separators.as<SequenceObject>().items.size() == 2;
    if (!is_pair) fail("tojson: separators must be a pair of strings");
    const auto& pair = separators.as<SequenceObject>().items;
    style.item_separator = expect_text(pair[0], "tojson");
    style.key_separator = expect_text(pair[1], "tojson");
  }
  style.sort_keys = args.flag(3);
  return style;
}

Value json(Runtime& rt, const Value& subject, const Arguments& arguments) {
  const Parameters args("tojson", arguments, {"ensure_ascii", "indent", "separators", "sort_keys"});
  return rt.string(to_json(rt, subject, json_style(args)));
}

Value default_value(Runtime& rt, const Value& subject, const Arguments& arguments) {
  const Parameters args("default", arguments, {"default_value", "boolean"});
  const bool absent = subject.is_undefined() || (args.flag(1) && !truth(subject));
  if (!absent) return subject;
  return args.has(0) ? args.get(0) : rt.string("");
}

constexpr Filter kFilters[] = {
    {"capitalize", map_text<to_capitalized>},
    {"d", default_value},
    {"default", default_value},
    {"format", format},
    {"join", join},
    {"lower", map_text<to_lower>},
    {"replace", replace},
    {"string", string},
    {"title", map_text<title_words>},
    {"tojson", json},
    {"trim", trim},
    {"upper", map_text<to_upper>},
    {"wordcount", count_words},
};

}  // namespace

FilterFunction find_text_filter(std::string_view name) { return find_in(kFilters, name); }

}  // namespace nibble::jinja
