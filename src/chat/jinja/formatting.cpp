#include "chat/jinja/formatting.h"

#include <fmt/format.h>

#include <cmath>

#include "chat/jinja/attributes.h"
#include "chat/jinja/failure.h"
#include "chat/jinja/operators.h"
#include "chat/jinja/text.h"
#include "chat/jinja/unicode.h"

namespace nibble::jinja {
namespace {

std::string ascii_repr(Runtime& runtime, const Value& value) {
  std::string out;
  for (const char32_t c : to_code_points(to_repr(runtime, value))) {
    if (c < 0x80) {
      out.push_back(static_cast<char>(c));
    } else if (c < 0x100) {
      out += fmt::format("\\x{:02x}", static_cast<uint32_t>(c));
    } else if (c < 0x10000) {
      out += fmt::format("\\u{:04x}", static_cast<uint32_t>(c));
    } else {
      out += fmt::format("\\U{:08x}", static_cast<uint32_t>(c));
    }
  }
  return out;
}

// The % operator: walks the format once, taking arguments as the conversions ask for them.
class PercentFormatter {
 public:
  PercentFormatter(Runtime& runtime, const Value& format, const Value& arguments)
      : runtime_(runtime),
        text_(text_of(format)),
        markup_(is_markup(format)),
        arguments_(arguments) {
    is_tuple_ = arguments.is(Kind::kTuple);
    is_mapping_ = arguments.is(Kind::kDict) || arguments.is(Kind::kList) ||
                  arguments.is(Kind::kRange) || arguments.is_undefined();
  }

  std::string run() {
    while (at_ < text_.size()) {
      const size_t percent = std::min(text_.find('%', at_), text_.size());
      out_ += text_.substr(at_, percent - at_);
      at_ = percent;
      if (at_ == text_.size()) break;
      ++at_;
      convert();
      runtime_.expect_bytes(out_.size());
    }
    const bool all_taken = is_tuple_ ? n_taken_ == tuple_size() : n_taken_ == 1 || is_mapping_;
    if (!all_taken) fail("not all arguments converted during string formatting");
    return std::move(out_);
  }

 private:
  size_t tuple_size() const { return arguments_.as<SequenceObject>().items.size(); }

  char peek() const {
    if (at_ >= text_.size()) fail("incomplete format");
    return text_[at_];
  }

  Value next_argument() {
    if (is_tuple_) {
      if (n_taken_ >= tuple_size()) fail("not enough arguments for format string");
      return arguments_.as<SequenceObject>().items[n_taken_++];
    }
    if (n_taken_ > 0) fail("not enough arguments for format string");
    ++n_taken_;
    return arguments_;
  }

  std::optional<Value> read_key() {
    if (peek() != '(') return std::nullopt;
    size_t depth = 1;
    const size_t first = ++at_;
    for (; at_ < text_.size() && depth > 0; ++at_) {
      if (text_[at_] == '(') ++depth;
      if (text_[at_] == ')') --depth;
    }
    if (depth > 0) fail("incomplete format key");
    const std::string key(text_.substr(first, at_ - 1 - first));
    if (!arguments_.is(Kind::kDict)) fail("format requires a mapping");
    n_taken_ = 1;
    const Value* found = arguments_.as<DictObject>().find(key);
    if (found == nullptr) fail(text_repr(key));
    return *found;
  }

  int64_t read_count() {
    if (peek() == '*') {
      ++at_;
      const int64_t count = to_index(next_argument(), "* wants int");
      if (std::abs(count) > kMaxFieldWidth) fail_limit("a format asks for too wide a field");
      return count;
    }
    int64_t count = 0;
    while (peek() >= '0' && peek() <= '9') {
      count = count * 10 + (text_[at_++] - '0');
      if (count > kMaxFieldWidth) fail_limit("a format asks for too wide a field");
    }
    return count;
  }

  void convert() {
    const std::optional<Value> keyed = read_key();
    FieldStyle style;
    style.align = '>';
    bool left = false;
    bool zero = false;
    for (; std::string_view("#0- +").find(peek()) != std::string_view::npos; ++at_) {
      const char flag = text_[at_];
      left = left || flag == '-';
      zero = zero || flag == '0';
      style.alternate = style.alternate || flag == '#';
      if (flag == '+' || (flag == ' ' && style.sign != '+')) style.sign = flag;
    }
    style.width = read_count();
    if (style.width < 0) {
      left = true;
      style.width = -style.width;
    }
    if (peek() == '.') {
      ++at_;
      style.precision = std::max<int64_t>(0, read_count());
    }
    while (peek() == 'h' || peek() == 'l' || peek() == 'L') ++at_;
    style.type = peek();
    ++at_;
    if (left) style.align = '<';
    if (style.type == '%') {
      out_ += '%';
      return;
    }
    const bool is_numeric =
        std::string_view("diuoxXeEfFgG").find(style.type) != std::string_view::npos;
    if (zero && !left && is_numeric) {
      style.fill = '0';
      style.align = '=';
    }
    convert_value(keyed ? *keyed : next_argument(), style);
  }

  void convert_value(const Value& value, FieldStyle style) {
    switch (style.type) {
      case 's':
      case 'r':
      case 'a':
        return put_text(value, style);
      case 'c':
        return put_character(value, style);
      case 'd':
      case 'i':
      case 'u':
        return put_decimal(value, style);
      case 'o':
      case 'x':
      case 'X':
        if (!value.is_integral()) {
          fail(fmt::format("%{} format: an integer is required, not {}", style.type,
                           type_name(value)));
        }
        out_ += layout_integer(runtime_, to_big(value), style);
        return;
      case 'e':
      case 'E':
      case 'f':
      case 'F':
      case 'g':
      case 'G':
        if (!value.is_number()) {
          fail(fmt::format("must be real number, not {}", type_name(value)));
        }
        out_ += layout_float(runtime_, to_double(value), style);
        return;
      default:
        fail(fmt::format("unsupported format character '{}' at index {}", style.type, at_ - 1));
    }
  }

  void put_text(const Value& value, const FieldStyle& style) {
    std::string text = style.type == 's'   ? to_text(runtime_, value)
                       : style.type == 'r' ? to_repr(runtime_, value)
                                           : ascii_repr(runtime_, value);
    if (markup_ && !is_markup(value)) text = escape_text(text);
    out_ += layout_text(runtime_, text, style);
  }

  void put_character(const Value& value, FieldStyle style) {
    style.precision = -1;
    if (value.is_integral()) {
      out_ += layout_integer(runtime_, to_big(value), style);
    } else if (value.is_string() && value.as<StringObject>().n_chars == 1) {
      out_ += layout_text(runtime_, text_of(value), style);
    } else {
      fail("%c requires int or char");
    }
  }

  void put_decimal(const Value& value, FieldStyle style) {
    style.type = 'd';
    if (value.is(Kind::kFloat)) {
      if (!std::isfinite(value.as_float())) fail("cannot convert float NaN or infinity to integer");
      out_ += layout_integer(runtime_, BigInt::truncate(value.as_float()), style);
    } else if (value.is_integral()) {
      out_ += layout_integer(runtime_, to_big(value), style);
    } else {
      fail(fmt::format("%d format: a real number is required, not {}", type_name(value)));
    }
  }

  Runtime& runtime_;
  std::string_view text_;
  bool markup_;
  const Value& arguments_;
  bool is_tuple_ = false;
  bool is_mapping_ = false;
  size_t n_taken_ = 0;
  size_t at_ = 0;
  std::string out_;
};

// str.format: replacement fields with attributes, items, conversions and nested specifications.
class BraceFormatter {
 public:
  BraceFormatter(Runtime& runtime, bool markup, const Arguments& arguments)
      : runtime_(runtime), markup_(markup), arguments_(arguments) {}

  std::string run(std::string_view text, int depth) {
    if (depth < 0) fail("Max string recursion exceeded");
    std::string out;
    for (size_t at = 0; at < text.size();) {
      const char c = text[at];
      const bool doubled = at + 1 < text.size() && text[at + 1] == c;
      if ((c == '{' || c == '}') && doubled) {
        out.push_back(c);
        at += 2;
      } else if (c == '}') {
        fail("Single '}' encountered in format string");
      } else if (c == '{') {
        out += field(take_field(text, at), depth);
        runtime_.expect_bytes(out.size());
      } else {
        out.push_back(c);
        ++at;
      }
    }
    return out;
  }

 private:
  // The text between the braces; moves behind the closing one.
  static std::string_view take_field(std::string_view text, size_t& at) {
    if (at + 1 == text.size()) fail("Single '{' encountered in format string");
    const size_t first = ++at;
    size_t depth = 1;
    for (; at < text.size(); ++at) {
      if (text[at] == '{') ++depth;
      if (text[at] == '}' && --depth == 0) return text.substr(first, at++ - first);
    }
    fail("expected '}' before end of string");
  }

  std::string field(std::string_view text, int depth) {
    size_t name_end = 0;
    for (bool in_item = false; name_end < text.size(); ++name_end) {
      const char c = text[name_end];
      if (c == '[') in_item = true;
      if (c == ']') in_item = false;
      if (!in_item && (c == '!' || c == ':')) break;
    }
    std::string_view rest = text.substr(name_end);
    char conversion = 0;
    if (!rest.empty() && rest[0] == '!') {
      if (rest.size() < 2) fail("end of string while looking for conversion specifier");
      conversion = rest[1];
      rest.remove_prefix(2);
      if (!rest.empty() && rest[0] != ':') fail("expected ':' after conversion specifier");
    }
    const Value value = look_up(text.substr(0, name_end));
    const std::string specification = rest.empty() ? std::string() : run(rest.substr(1), depth - 1);
    const Value converted = convert(value, conversion);
    if (markup_ && is_markup(converted)) return text_of(converted);
    std::string out = format_value(runtime_, converted, specification);
    return markup_ ? escape_text(out) : out;
  }

  Value convert(const Value& value, char conversion) {
    switch (conversion) {
      case 0:
        return value;
      case 's':
        return runtime_.string(to_text(runtime_, value));
      case 'r':
        return runtime_.string(to_repr(runtime_, value));
      case 'a':
        return runtime_.string(ascii_repr(runtime_, value));
      default:
        fail(fmt::format("Unknown conversion specifier {}", conversion));
    }
  }

  static bool is_index(std::string_view text) {
    return !text.empty() && text.size() < 10 &&
           text.find_first_not_of("0123456789") == std::string_view::npos;
  }

  Value first_part(std::string_view name) {
    if (name.empty()) {
      if (numbering_ == 'm') {
        fail("cannot switch from manual field specification to automatic field numbering");
      }
      numbering_ = 'a';
      return positional(n_automatic_++);
    }
    if (is_index(name)) {
      if (numbering_ == 'a') {
        fail("cannot switch from automatic field numbering to manual field specification");
      }
      numbering_ = 'm';
      return positional(std::stoul(std::string(name)));
    }
    for (const auto& [key, value] : arguments_.named) {
      if (key == name) return value;
    }
    fail(text_repr(name));
  }

  Value positional(size_t index) {
    if (index >= arguments_.positional.size()) {
      fail(fmt::format("Replacement index {} out of range for positional args tuple", index));
    }
    return arguments_.positional[index];
  }

  Value look_up(std::string_view path) {
    size_t at = std::min(path.find_first_of(".["), path.size());
    Value value = first_part(path.substr(0, at));
    while (at < path.size()) {
      if (path[at] == '.') {
        const size_t end = std::min(path.find_first_of(".[", at + 1), path.size());
        if (end == at + 1) fail("Empty attribute in format string");
        value = get_attribute(runtime_, value, path.substr(at + 1, end - at - 1));
        at = end;
      } else if (path[at] == '[') {
        const size_t end = path.find(']', at);
        if (end == std::string_view::npos) fail("Missing ']' in format string");
        const std::string_view key = path.substr(at + 1, end - at - 1);
        if (key.empty()) fail("Empty attribute in format string");
        value = get_item(runtime_, value,
                         is_index(key) ? Value::integer(std::stol(std::string(key)))
                                       : runtime_.string(std::string(key)));
        at = end + 1;
      } else {
        fail("Only '.' or '[' may follow ']' in format field specifier");
      }
    }
    return value;
  }

  Runtime& runtime_;
  bool markup_;
  const Arguments& arguments_;
  char numbering_ = 0;
  size_t n_automatic_ = 0;
};

}  // namespace

Value format_percent(Runtime& runtime, const Value& format, const Value& arguments) {
  PercentFormatter formatter(runtime, format, arguments);
  return runtime.string(formatter.run(), is_markup(format));
}

Value format_braces(Runtime& runtime, const Value& format, const Arguments& arguments) {
  BraceFormatter formatter(runtime, is_markup(format), arguments);
  return runtime.string(formatter.run(text_of(format), 2), is_markup(format));
}

}  // namespace nibble::jinja
