// Filters that lay text out in lines: indent, center, truncate, wordwrap, pprint.
#include <fmt/format.h>

#include <algorithm>

#include "chat/jinja/failure.h"
#include "chat/jinja/filters.h"
#include "chat/jinja/formatting.h"
#include "chat/jinja/methods.h"
#include "chat/jinja/operators.h"
#include "chat/jinja/parameters.h"
#include "chat/jinja/text.h"
#include "chat/jinja/unicode.h"

namespace nibble::jinja {
namespace {

Value center(Runtime& rt, const Value& subject, const Arguments& arguments) {
  const Parameters args("center", arguments, {"width"});
  return center_text(rt, soft_text(rt, subject), args.has(0) ? to_index(args.get(0)) : 80, " ");
}

Value indent(Runtime& rt, const Value& subject, const Arguments& arguments) {
  const Parameters args("indent", arguments, {"width", "first", "blank"});
  std::string margin = "    ";
  if (args.has(0) && args.get(0).is_string()) {
    margin = text_of(args.get(0));
  } else if (args.has(0)) {
    const int64_t width = std::max<int64_t>(0, to_index(args.get(0)));
    if (width > kMaxFieldWidth) fail_limit("indent asks for too wide a margin");
    margin.assign(static_cast<size_t>(width), ' ');
  }
  // Refuses what cannot be added to a text, undefined values among it.
  const Value ended = apply(rt, BinaryOperator::kAdd, subject, rt.string("\n", is_markup(subject)));
  if (!ended.is_string()) fail("indent: the value is not a string");
  std::string out;
  bool is_first = true;
  for (const std::string& line : split_lines(text_of(ended), false)) {
    if (!is_first) out += '\n';
    if (is_first ? args.flag(1) : (args.flag(2) || !line.empty())) out += margin;
    out += line;
    is_first = false;
    rt.expect_bytes(out.size());
  }
  return rt.string(std::move(out), is_markup(subject));
}

Value truncate(Runtime& rt, const Value& subject, const Arguments& arguments) {
  const Parameters args("truncate", arguments, {"length", "killwords", "end", "leeway"});
  const int64_t limit = args.has(0) ? to_index(args.get(0)) : 255;
  const Value end = args.has(2) ? args.get(2) : rt.string("...");
  const int64_t leeway = args.get(3).is_none() ? 5 : to_index(args.get(3));
  const int64_t n_end = length(rt, end);
  if (limit < n_end) fail(fmt::format("expected length >= {}, got {}", n_end, limit));
  if (leeway < 0) fail(fmt::format("expected leeway >= 0, got {}", leeway));
  if (length(rt, subject) <= limit || length(rt, subject) - limit <= leeway) return subject;
  const Value kept =
      slice(rt, subject, Value::none(), Value::integer(limit - n_end), Value::none());
  if (!kept.is_string() || !end.is_string()) fail("truncate: the value is not a string");
  if (args.flag(1)) return concatenate(rt, kept, end);
  const std::string& text = text_of(kept);
  return concatenate(rt, rt.string(text.substr(0, text.rfind(' ')), is_markup(kept)), end);
}

bool is_blank(char32_t c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

// Pieces between which a line may be broken: runs of white space, and words, cut behind hyphens
// between letters and around dashes where asked for.
class WordSplitter {
 public:
  WordSplitter(std::u32string_view text, bool at_hyphens) : text_(text), at_hyphens_(at_hyphens) {}

  std::vector<std::u32string> split() {
    std::vector<std::u32string> pieces;
    for (size_t at = 0; at < text_.size();) {
      size_t end = at + 1;
      if (is_blank(text_[at])) {
        while (end < text_.size() && is_blank(text_[end])) ++end;
      } else if (at_hyphens_ && is_dash(at)) {
        while (end < text_.size() && text_[end] == '-') ++end;
      } else {
        while (end < text_.size() && !breaks_before(end)) ++end;
      }
      pieces.emplace_back(text_.substr(at, end - at));
      at = end;
    }
    return pieces;
  }

 private:
  bool is_letter(size_t i) const { return i < text_.size() && is_alpha(text_[i]); }
  bool is_word(size_t i) const {
    return i < text_.size() && (text_[i] == '_' || is_alnum(text_[i]));
  }

  // Two or more hyphens between words.
  bool is_dash(size_t i) const {
    if (i == 0 || text_[i] != '-' || i + 1 >= text_.size() || text_[i + 1] != '-') return false;
    const char32_t before = text_[i - 1];
    const bool joins = is_word(i - 1) || before == '!' || before == '"' || before == '\'' ||
                       before == '&' || before == '.' || before == ',' || before == '?';
    while (i < text_.size() && text_[i] == '-') ++i;
    return joins && is_word(i);
  }

  bool breaks_before(size_t i) const {
    if (is_blank(text_[i])) return true;
    if (!at_hyphens_) return false;
    if (is_dash(i)) return true;
    if (text_[i - 1] != '-' || i < 3) return false;
    const bool letters_before =
        is_letter(i - 2) &&
        (is_letter(i - 3) || (i >= 4 && text_[i - 3] == '-' && is_letter(i - 4)));
    const bool letters_after =
        is_letter(i) &&
        (is_letter(i + 1) || (i + 2 < text_.size() && text_[i + 1] == '-' && is_letter(i + 2)));
    return letters_before && letters_after;
  }

  std::u32string_view text_;
  bool at_hyphens_;
};

bool all_blank(const std::u32string& piece) {
  return std::all_of(piece.begin(), piece.end(), is_space);
}

struct WrapStyle {
  size_t width = 79;
  bool breaks_long_words = true;
  bool breaks_at_hyphens = true;
};

// Greedy filling of lines, as textwrap does it: white space at the ends of lines is dropped.
std::vector<std::u32string> wrap(std::u32string_view text, const WrapStyle& style) {
  std::vector<std::u32string> pieces = WordSplitter(text, style.breaks_at_hyphens).split();
  std::reverse(pieces.begin(), pieces.end());
  std::vector<std::u32string> lines;
  while (!pieces.empty()) {
    if (!lines.empty() && all_blank(pieces.back())) pieces.pop_back();
    std::vector<std::u32string> line;
    size_t used = 0;
    while (!pieces.empty() && used + pieces.back().size() <= style.width) {
      used += pieces.back().size();
      line.push_back(std::move(pieces.back()));
      pieces.pop_back();
    }
    if (!pieces.empty() && pieces.back().size() > style.width) {
      if (style.breaks_long_words) {
        const size_t room = style.width > used ? style.width - used : 0;
        const size_t n = std::max<size_t>(line.empty() ? 1 : 0, room);
        if (n > 0) line.push_back(pieces.back().substr(0, n));
        pieces.back().erase(0, n);
      } else if (line.empty()) {
        line.push_back(std::move(pieces.back()));
        pieces.pop_back();
      }
    }
    if (!line.empty() && all_blank(line.back())) line.pop_back();
    if (line.empty()) continue;
    std::u32string joined;
    for (const std::u32string& piece : line) joined += piece;
    lines.push_back(std::move(joined));
  }
  return lines;
}

Value wrap_words(Runtime& rt, const Value& subject, const Arguments& arguments) {
  const Parameters args("wordwrap", arguments,
                        {"width", "break_long_words", "wrapstring", "break_on_hyphens"});
  const int64_t width = args.has(0) ? to_index(args.get(0)) : 79;
  if (width <= 0) fail(fmt::format("invalid width {} (must be > 0)", width));
  WrapStyle style;
  style.width = static_cast<size_t>(width);
  style.breaks_long_words = !args.has(1) || args.flag(1);
  style.breaks_at_hyphens = !args.has(3) || args.flag(3);
  const std::string separator = args.get(2).is_none() ? "\n" : expect_text(args.get(2), "wordwrap");
  const std::string& text = expect_text(subject, "wordwrap");
  rt.step_bytes(text.size() * 16);
  std::string out;
  bool is_first = true;
  for (const std::string& paragraph : split_lines(text, false)) {
    if (!is_first) out += separator;
    is_first = false;
    bool is_first_line = true;
    for (const std::u32string& line : wrap(to_code_points(paragraph), style)) {
      if (!is_first_line) out += separator;
      is_first_line = false;
      out += to_utf8(line);
    }
    rt.expect_bytes(out.size());
  }
  return rt.string(std::move(out));
}

// pprint.pformat with its default width of 80; long strings are not split.
class PrettyPrinter {
 public:
  explicit PrettyPrinter(Runtime& runtime) : runtime_(runtime) {}

  std::string print(const Value& value, size_t column, size_t n_behind) {
    const Nesting nesting(runtime_);
    const Value sorted = with_sorted_keys(value);
    std::string flat = to_repr(runtime_, sorted);
    if (column + count_code_points(flat) + n_behind <= 80) return flat;
    if (value.is(Kind::kDict)) return print_dict(sorted.as<DictObject>(), column, n_behind);
    if (value.is(Kind::kList) || value.is(Kind::kTuple))
      return print_items(value, column, n_behind);
    return flat;
  }

 private:
  Value with_sorted_keys(const Value& value) {
    const Nesting nesting(runtime_);
    if (value.is(Kind::kList) || value.is(Kind::kTuple)) {
      std::vector<Value> items = value.as<SequenceObject>().items;
      for (Value& item : items) item = with_sorted_keys(item);
      return value.is(Kind::kList) ? runtime_.list(std::move(items))
                                   : runtime_.tuple(std::move(items));
    }
    if (!value.is(Kind::kDict)) return value;
    auto members = value.as<DictObject>().items;
    const bool sortable = std::all_of(members.begin(), members.end(),
                                      [](const auto& member) { return member.first.is_string(); });
    if (sortable) {
      std::stable_sort(members.begin(), members.end(), [&](const auto& a, const auto& b) {
        return less(runtime_, a.first, b.first);
      });
    }
    auto out = std::make_shared<DictObject>();
    for (const auto& [key, member] : members) out->set(runtime_, key, with_sorted_keys(member));
    return runtime_.dict(std::move(out));
  }

  std::string print_dict(const DictObject& dict, size_t column, size_t n_behind) {
    std::string out = "{";
    for (size_t i = 0; i < dict.items.size(); ++i) {
      const auto& [key, member] = dict.items[i];
      const bool is_last = i + 1 == dict.items.size();
      const std::string name = to_repr(runtime_, key);
      out += name + ": ";
      out += print(member, column + 1 + count_code_points(name) + 2, is_last ? n_behind + 1 : 1);
      if (!is_last) out += ",\n" + std::string(column + 1, ' ');
    }
    return out + "}";
  }

  std::string print_items(const Value& value, size_t column, size_t n_behind) {
    const auto& items = value.as<SequenceObject>().items;
    const bool is_list = value.is(Kind::kList);
    const std::string close = is_list ? "]" : items.size() == 1 ? ",)" : ")";
    std::string out = is_list ? "[" : "(";
    for (size_t i = 0; i < items.size(); ++i) {
      const bool is_last = i + 1 == items.size();
      out += print(items[i], column + 1, is_last ? n_behind + close.size() : 1);
      if (!is_last) out += ",\n" + std::string(column + 1, ' ');
    }
    return out + close;
  }

  Runtime& runtime_;
};

Value pretty(Runtime& rt, const Value& subject, const Arguments& arguments) {
  const Parameters args("pprint", arguments, {});
  return rt.string(PrettyPrinter(rt).print(subject, 0, 0));
}

constexpr Filter kFilters[] = {
    {"center", center},     {"indent", indent},       {"pprint", pretty},
    {"truncate", truncate}, {"wordwrap", wrap_words},
};

}  // namespace

FilterFunction find_layout_filter(std::string_view name) { return find_in(kFilters, name); }

}  // namespace nibble::jinja
