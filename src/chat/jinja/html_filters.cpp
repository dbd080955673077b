// Filters for HTML and URLs.
#include <fmt/format.h>

#include "chat/jinja/failure.h"
#include "chat/jinja/filters.h"
#include "chat/jinja/items.h"
#include "chat/jinja/numbers.h"
#include "chat/jinja/parameters.h"
#include "chat/jinja/text.h"
#include "chat/jinja/unicode.h"

namespace nibble::jinja {
namespace {

Value escape_filter(Runtime& rt, const Value& subject, const Arguments& arguments) {
  const Parameters args("escape", arguments, {});
  return escape(rt, subject);
}

Value force_escape(Runtime& rt, const Value& subject, const Arguments& arguments) {
  const Parameters args("forceescape", arguments, {});
  return rt.string(escape_text(to_text(rt, subject)), true);
}

Value mark_safe(Runtime& rt, const Value& subject, const Arguments& arguments) {
  const Parameters args("safe", arguments, {});
  return rt.string(to_text(rt, subject), true);
}

// Removes everything from each `open` to the `close` that follows it.
std::string without_spans(std::string_view text, std::string_view open, std::string_view close) {
  std::string out;
  while (true) {
    const size_t first = text.find(open);
    const size_t last = first == std::string_view::npos ? first : text.find(close, first);
    if (last == std::string_view::npos) return out + std::string(text);
    out += text.substr(0, first);
    text.remove_prefix(last + close.size());
  }
}

// The character that an HTML entity between & and ; stands for; 0 where it is not known.
char32_t entity(std::string_view name) {
  static constexpr std::pair<std::string_view, char32_t> kNamed[] = {
      {"amp", '&'}, {"lt", '<'}, {"gt", '>'}, {"quot", '"'}, {"apos", '\''}, {"nbsp", 0xA0}};
  for (const auto& [known, c] : kNamed) {
    if (name == known) return c;
  }
  if (name.size() < 2 || name[0] != '#' || name.size() > 9) return 0;
  const bool is_hex = name[1] == 'x' || name[1] == 'X';
  const auto number = BigInt::parse(name.substr(is_hex ? 2 : 1), is_hex ? 16 : 10);
  const auto code = number ? number->to_int64() : std::nullopt;
  if (!code || *code <= 0 || *code > 0x10FFFF || (*code >= 0xD800 && *code <= 0xDFFF)) return 0;
  return static_cast<char32_t>(*code);
}

std::string unescape(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t end = text[at] == '&' ? text.find(';', at) : std::string_view::npos;
    const char32_t c = end == std::string_view::npos || end - at > 12
                           ? 0
                           : entity(text.substr(at + 1, end - at - 1));
    if (c != 0) {
      append_code_point(out, c);
      at = end + 1;
    } else {
      out.push_back(text[at++]);
    }
  }
  return out;
}

Value strip_tags(Runtime& rt, const Value& subject, const Arguments& arguments) {
  const Parameters args("striptags", arguments, {});
  const std::string text = to_text(rt, subject);
  rt.step_bytes(text.size() * 4);
  const std::string bare = without_spans(without_spans(text, "<!--", "-->"), "<", ">");
  std::string collapsed;
  bool is_gap = false;
  for (size_t at = 0; at < bare.size();) {
    const char32_t c = next_code_point(bare, at);
    if (is_space(c)) {
      is_gap = true;
      continue;
    }
    if (is_gap && !collapsed.empty()) collapsed.push_back(' ');
    is_gap = false;
    append_code_point(collapsed, c);
  }
  return rt.string(unescape(collapsed));
}

std::string quote_url(std::string_view text, bool for_query) {
  std::string out;
  for (const char c : text) {
    const bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                          (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-' || c == '~' ||
                          (c == '/' && !for_query);
    if (is_plain) {
      out.push_back(c);
    } else if (c == ' ' && for_query) {
      out.push_back('+');
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

Value url_encode(Runtime& rt, const Value& subject, const Arguments& arguments) {
  const Parameters args("urlencode", arguments, {});
  if (subject.is_string() || !is_iterable(subject)) {
    return rt.string(quote_url(to_text(rt, subject), false));
  }
  const Value pairs =
      subject.is(Kind::kDict) ? rt.view(DictViewObject::Part::kItems, subject) : subject;
  std::string out;
  ItemReader reader(pairs);
  for (Value pair; reader.next(rt, pair);) {
    const std::vector<Value> parts = items_of(rt, pair);
    if (parts.size() != 2) fail("urlencode: expected pairs of a name and a value");
    if (!out.empty()) out.push_back('&');
    out += quote_url(to_text(rt, parts[0]), true) + "=" + quote_url(to_text(rt, parts[1]), true);
    rt.expect_bytes(out.size());
  }
  return rt.string(std::move(out));
}

Value xml_attributes(Runtime& rt, const Value& subject, const Arguments& arguments) {
  const Parameters args("xmlattr", arguments, {"autospace"});
  if (!subject.is(Kind::kDict)) fail("xmlattr: the value is not a mapping");
  std::string out;
  for (const auto& [key, value] : subject.as<DictObject>().items) {
    if (value.is_none() || value.is_undefined()) continue;
    const std::string& name = expect_text(key, "xmlattr");
    if (name.find_first_of(" \t\n\r\f\v/>=") != std::string::npos) {
      fail(fmt::format("Invalid character in attribute name: {}", text_repr(name)));
    }
    if (!out.empty()) out.push_back(' ');
    out += text_of(escape(rt, key)) + "=\"" + text_of(escape(rt, value)) + "\"";
    rt.expect_bytes(out.size());
  }
  if (!out.empty() && (!args.has(0) || args.flag(0))) out.insert(out.begin(), ' ');
  return rt.string(std::move(out), rt.autoescape);
}

Value make_links(Runtime&, const Value&, const Arguments&) {
  fail(
      "the filter 'urlize' is not available: it makes HTML links, which chat templates do not "
      "need");
}

constexpr Filter kFilters[] = {
    {"e", escape_filter},   {"escape", escape_filter},   {"forceescape", force_escape},
    {"safe", mark_safe},    {"striptags", strip_tags},   {"urlencode", url_encode},
    {"urlize", make_links}, {"xmlattr", xml_attributes},
};

}  // namespace

FilterFunction find_html_filter(std::string_view name) { return find_in(kFilters, name); }

}  // namespace nibble::jinja
