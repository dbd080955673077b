// Methods of str that search, split and replace.
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "chat/jinja/failure.h"
#include "chat/jinja/methods.h"
#include "chat/jinja/operators.h"
#include "chat/jinja/parameters.h"
#include "chat/jinja/text.h"
#include "chat/jinja/unicode.h"

namespace nibble::jinja {
namespace {

// The part of a text that optional start and end arguments select.
struct Window {
  std::string_view text;
  size_t first_char = 0;
  bool is_valid = true;  // a start beyond the end finds nothing, not even the empty text
};

Window window_of(Runtime& runtime, const Value& self, const Value& start, const Value& end) {
  const StringObject& string = self.as<StringObject>();
  runtime.step_bytes(string.text.size());
  const auto n = static_cast<int64_t>(string.n_chars);
  const auto resolve = [&](const Value& bound, int64_t otherwise) {
    if (bound.is_none()) return otherwise;
    int64_t at = to_index(bound);
    if (at < 0) at = std::max<int64_t>(0, at < -n ? 0 : at + n);
    return at;
  };
  const int64_t first = resolve(start, 0);
  const int64_t last = std::min(resolve(end, n), n);
  Window out;
  out.first_char = static_cast<size_t>(first);
  out.is_valid = first <= n && first <= last;
  if (!out.is_valid) return out;
  const std::string_view text = string.text;
  const size_t begin = byte_of_code_point(text, static_cast<size_t>(first));
  const size_t size = byte_of_code_point(text.substr(begin), static_cast<size_t>(last - first));
  out.text = text.substr(begin, size);
  return out;
}

bool has_affix(std::string_view text, std::string_view affix, bool at_start) {
  return at_start ? text.starts_with(affix) : text.ends_with(affix);
}

Value test_affix(Runtime& runtime, const Value& self, const Arguments& arguments, bool at_start) {
  const std::string_view name = at_start ? "startswith" : "endswith";
  const Parameters args(name, arguments, {"prefix", "start", "end"}, 1);
  const Window window = window_of(runtime, self, args.get(1), args.get(2));
  const Value affix = args.get(0);
  const auto matches = [&](const Value& candidate) {
    return window.is_valid && has_affix(window.text, text_of(candidate), at_start);
  };
  if (affix.is_string()) return Value::boolean(matches(affix));
  if (affix.is(Kind::kTuple)) {
    for (const Value& candidate : affix.as<SequenceObject>().items) {
      if (!candidate.is_string()) {
        fail(fmt::format("tuple for {} must only contain str, not {}", name, type_name(candidate)));
      }
      if (matches(candidate)) return Value::boolean(true);
    }
    return Value::boolean(false);
  }
  fail(fmt::format("{} first arg must be str or a tuple of str, not {}", name, type_name(affix)));
}

Value starts_with(Runtime& rt, const Value& self, const Arguments& arguments) {
  return test_affix(rt, self, arguments, true);
}

Value ends_with(Runtime& rt, const Value& self, const Arguments& arguments) {
  return test_affix(rt, self, arguments, false);
}

int64_t find_position(Runtime& runtime, const Value& self, const Arguments& arguments,
                      std::string_view name, bool from_end) {
  const Parameters args(name, arguments, {"sub", "start", "end"}, 1);
  const Window window = window_of(runtime, self, args.get(1), args.get(2));
  const std::string& wanted = expect_text(args.get(0), name);
  if (!window.is_valid) return -1;
  const size_t at = from_end ? window.text.rfind(wanted) : window.text.find(wanted);
  if (at == std::string_view::npos) return -1;
  return static_cast<int64_t>(window.first_char + count_code_points(window.text.substr(0, at)));
}

Value find(Runtime& rt, const Value& self, const Arguments& arguments) {
  return Value::integer(find_position(rt, self, arguments, "find", false));
}

Value find_last(Runtime& rt, const Value& self, const Arguments& arguments) {
  return Value::integer(find_position(rt, self, arguments, "rfind", true));
}

Value index(Runtime& rt, const Value& self, const Arguments& arguments) {
  const int64_t at = find_position(rt, self, arguments, "index", false);
  if (at < 0) fail("substring not found");
  return Value::integer(at);
}

Value index_last(Runtime& rt, const Value& self, const Arguments& arguments) {
  const int64_t at = find_position(rt, self, arguments, "rindex", true);
  if (at < 0) fail("substring not found");
  return Value::integer(at);
}

Value count(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Parameters args("count", arguments, {"sub", "start", "end"}, 1);
  const Window window = window_of(rt, self, args.get(1), args.get(2));
  const std::string& wanted = expect_text(args.get(0), "count");
  if (!window.is_valid) return Value::integer(0);
  if (wanted.empty())
    return Value::integer(static_cast<int64_t>(count_code_points(window.text)) + 1);
  int64_t n = 0;
  for (size_t at = window.text.find(wanted); at != std::string_view::npos;
       at = window.text.find(wanted, at + wanted.size())) {
    ++n;
  }
  return Value::integer(n);
}

Value replace(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Parameters args("replace", arguments, {"old", "new", "count"}, 2);
  const std::string& old = expect_text(args.get(0), "replace");
  std::string fresh = expect_text(args.get(1), "replace");
  if (is_markup(self) && !is_markup(args.get(1))) fresh = escape_text(fresh);
  const int64_t limit = args.has(2) ? to_index(args.get(2)) : -1;
  return rt.string(replace_text(rt, text_of(self), old, fresh, limit), is_markup(self));
}

size_t space_end(std::string_view text, size_t at, bool is_space_wanted) {
  while (at < text.size()) {
    size_t next = at;
    if (is_space(next_code_point(text, next)) != is_space_wanted) break;
    at = next;
  }
  return at;
}

std::vector<std::string_view> split_space(std::string_view text, int64_t limit) {
  std::vector<std::string_view> parts;
  size_t at = space_end(text, 0, true);
  while (at < text.size()) {
    if (limit >= 0 && static_cast<int64_t>(parts.size()) == limit) {
      parts.push_back(text.substr(at));
      break;
    }
    const size_t end = space_end(text, at, false);
    parts.push_back(text.substr(at, end - at));
    at = space_end(text, end, true);
  }
  return parts;
}

std::vector<std::string_view> split_space_from_end(std::string_view text, int64_t limit) {
  const std::vector<std::string_view> words = split_space(text, -1);
  if (limit < 0 || static_cast<int64_t>(words.size()) <= limit) return words;
  const auto n_kept = static_cast<size_t>(limit);
  std::vector<std::string_view> parts(words.end() - static_cast<std::ptrdiff_t>(n_kept),
                                      words.end());
  const std::string_view last = words[words.size() - n_kept - 1];
  const auto end = static_cast<size_t>(last.data() + last.size() - text.data());
  parts.insert(parts.begin(), text.substr(0, end));
  return parts;
}

std::vector<std::string_view> split_at(std::string_view text, std::string_view separator,
                                       int64_t limit) {
  std::vector<std::string_view> parts;
  while (limit < 0 || static_cast<int64_t>(parts.size()) < limit) {
    const size_t at = text.find(separator);
    if (at == std::string_view::npos) break;
    parts.push_back(text.substr(0, at));
    text.remove_prefix(at + separator.size());
  }
  parts.push_back(text);
  return parts;
}

std::vector<std::string_view> split_at_from_end(std::string_view text, std::string_view separator,
                                                int64_t limit) {
  std::vector<std::string_view> parts;
  while (limit < 0 || static_cast<int64_t>(parts.size()) < limit) {
    const size_t at = text.rfind(separator);
    if (at == std::string_view::npos) break;
    parts.push_back(text.substr(at + separator.size()));
    text = text.substr(0, at);
  }
  parts.push_back(text);
  std::reverse(parts.begin(), parts.end());
  return parts;
}

Value make_texts(Runtime& runtime, const std::vector<std::string_view>& parts, bool markup) {
  runtime.expect_items(parts.size(), sizeof(Value) + sizeof(StringObject));
  std::vector<Value> items;
  items.reserve(parts.size());
  for (const std::string_view part : parts) {
    items.push_back(runtime.string(std::string(part), markup));
  }
  return runtime.list(std::move(items));
}

Value split_with(Runtime& runtime, const Value& self, const Arguments& arguments, bool from_end) {
  const std::string_view name = from_end ? "rsplit" : "split";
  const Parameters args(name, arguments, {"sep", "maxsplit"});
  const int64_t limit = args.has(1) ? to_index(args.get(1)) : -1;
  const std::string& text = text_of(self);
  runtime.step_bytes(text.size());
  if (args.get(0).is_none()) {
    return make_texts(runtime,
                      from_end ? split_space_from_end(text, limit) : split_space(text, limit),
                      is_markup(self));
  }
  const std::string& separator = expect_text(args.get(0), name);
  if (separator.empty()) fail("empty separator");
  return make_texts(
      runtime,
      from_end ? split_at_from_end(text, separator, limit) : split_at(text, separator, limit),
      is_markup(self));
}

Value split(Runtime& rt, const Value& self, const Arguments& arguments) {
  return split_with(rt, self, arguments, false);
}

Value split_last(Runtime& rt, const Value& self, const Arguments& arguments) {
  return split_with(rt, self, arguments, true);
}

Value lines(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Parameters args("splitlines", arguments, {"keepends"});
  rt.step_bytes(text_of(self).size());
  std::vector<Value> items;
  for (std::string& line : split_lines(text_of(self), args.flag(0))) {
    items.push_back(rt.string(std::move(line), is_markup(self)));
  }
  return rt.list(std::move(items));
}

Value partition_at(Runtime& runtime, const Value& self, const Arguments& arguments, bool from_end) {
  const Parameters args(from_end ? "rpartition" : "partition", arguments, {"sep"}, 1);
  const std::string& separator = expect_text(args.get(0), "partition");
  if (separator.empty()) fail("empty separator");
  const std::string_view text = text_of(self);
  const bool markup = is_markup(self);
  const size_t at = from_end ? text.rfind(separator) : text.find(separator);
  const auto part = [&](std::string_view piece) {
    return runtime.string(std::string(piece), markup);
  };
  if (at == std::string_view::npos) {
    if (from_end) return runtime.tuple({part(""), part(""), part(text)});
    return runtime.tuple({part(text), part(""), part("")});
  }
  return runtime.tuple(
      {part(text.substr(0, at)), part(separator), part(text.substr(at + separator.size()))});
}

Value partition(Runtime& rt, const Value& self, const Arguments& arguments) {
  return partition_at(rt, self, arguments, false);
}

Value partition_last(Runtime& rt, const Value& self, const Arguments& arguments) {
  return partition_at(rt, self, arguments, true);
}

Value remove_prefix(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Parameters args("removeprefix", arguments, {"prefix"}, 1);
  const std::string& prefix = expect_text(args.get(0), "removeprefix");
  if (!text_of(self).starts_with(prefix)) return self;
  return rt.string(text_of(self).substr(prefix.size()), is_markup(self));
}

Value remove_suffix(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Parameters args("removesuffix", arguments, {"suffix"}, 1);
  const std::string& suffix = expect_text(args.get(0), "removesuffix");
  if (!text_of(self).ends_with(suffix)) return self;
  return rt.string(text_of(self).substr(0, text_of(self).size() - suffix.size()), is_markup(self));
}

bool is_line_end(char32_t c) {
  return (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 ||
         c == 0x2029;
}

struct Method {
  std::string_view name;
  MethodFunction function;
};

constexpr Method kMethods[] = {
    {"count", count},
    {"endswith", ends_with},
    {"find", find},
    {"index", index},
    {"partition", partition},
    {"removeprefix", remove_prefix},
    {"removesuffix", remove_suffix},
    {"replace", replace},
    {"rfind", find_last},
    {"rindex", index_last},
    {"rpartition", partition_last},
    {"rsplit", split_last},
    {"split", split},
    {"splitlines", lines},
    {"startswith", starts_with},
};

}  // namespace

std::vector<std::string> split_lines(std::string_view text, bool keep_ends) {
  std::vector<std::string> out;
  size_t first = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t end = at;
    const char32_t c = next_code_point(text, at);
    if (!is_line_end(c)) continue;
    if (c == '\r' && at < text.size() && text[at] == '\n') ++at;
    out.emplace_back(text.substr(first, (keep_ends ? at : end) - first));
    first = at;
  }
  if (first < text.size()) out.emplace_back(text.substr(first));
  return out;
}

std::string replace_text(Runtime& runtime, std::string_view text, std::string_view old,
                         std::string_view replacement, int64_t limit) {
  runtime.step_bytes(text.size());
  std::string out;
  size_t at = 0;
  size_t checked = 0;
  for (int64_t n = 0; limit < 0 || n < limit; ++n) {
    const size_t found = text.find(old, at);
    if (found == std::string_view::npos) break;
    out += text.substr(at, found - at);
    out += replacement;
    at = found + old.size();
    if (old.empty()) {
      // Between any two characters, and once behind the last.
      if (at >= text.size()) return out;
      const size_t first = at;
      next_code_point(text, at);
      out += text.substr(first, at - first);
      if (at == text.size() && (limit < 0 || n + 1 < limit)) return out + std::string(replacement);
    }
    if (out.size() > checked + 65536) {
      runtime.expect_bytes(out.size());
      checked = out.size();
    }
  }
  out += text.substr(at);
  return out;
}

MethodFunction find_search_method(std::string_view name) {
  for (const Method& method : kMethods) {
    if (method.name == name) return method.function;
  }
  return nullptr;
}

}  // namespace nibble::jinja
