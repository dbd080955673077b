// json.dumps: values as JSON text.
#include <fmt/format.h>

#include <algorithm>

#include "chat/jinja/failure.h"
#include "chat/jinja/numbers.h"
#include "chat/jinja/operators.h"
#include "chat/jinja/text.h"
#include "chat/jinja/unicode.h"

namespace nibble::jinja {
namespace {

class JsonWriter {
 public:
  JsonWriter(Runtime& runtime, const JsonStyle& style) : runtime_(runtime), style_(style) {}

  void write(const Value& value) {
    const Nesting nesting(runtime_);
    runtime_.step();
    switch (value.kind()) {
      case Kind::kNone:
      case Kind::kBool:
      case Kind::kInt:
      case Kind::kBigInt:
      case Kind::kFloat:
        return put(scalar(value));
      case Kind::kString:
        return write_text(text_of(value));
      case Kind::kList:
      case Kind::kTuple:
        return write_list(value.as<SequenceObject>().items);
      case Kind::kDict:
        return write_dict(value.as<DictObject>());
      default:
        fail(fmt::format("Object of type {} is not JSON serializable", type_name(value)));
    }
  }

  std::string take() { return std::move(out_); }

 private:
  void put(std::string_view text) {
    out_ += text;
    if (out_.size() >= next_check_) {
      runtime_.expect_bytes(out_.size());
      next_check_ = out_.size() * 2;
    }
  }

  std::string scalar(const Value& value) {
    if (value.is_none()) return "null";
    if (value.is(Kind::kBool)) return value.as_bool() ? "true" : "false";
    if (!value.is(Kind::kFloat)) return to_text(runtime_, value);
    const double d = value.as_float();
    if (d != d) return "NaN";
    if (d - d != 0) return d > 0 ? "Infinity" : "-Infinity";
    return float_text(d);
  }

  void write_text(std::string_view text) {
    runtime_.step_bytes(text.size());
    put("\"");
    for (size_t at = 0; at < text.size();) write_char(next_code_point(text, at));
    put("\"");
  }

  void write_char(char32_t c) {
    switch (c) {
      case '"':
        return put("\\\"");
      case '\\':
        return put("\\\\");
      case '\n':
        return put("\\n");
      case '\r':
        return put("\\r");
      case '\t':
        return put("\\t");
      case '\f':
        return put("\\f");
      case '\b':
        return put("\\b");
      default:
        break;
    }
    if (c < 0x20 || (style_.ensure_ascii && c > 0x7E && c < 0x10000)) {
      return put(fmt::format("\\u{:04x}", static_cast<uint32_t>(c)));
    }
    if (style_.ensure_ascii && c >= 0x10000) {
      const uint32_t bits = static_cast<uint32_t>(c) - 0x10000;
      return put(fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + (bits >> 10), 0xDC00 + (bits & 0x3FF)));
    }
    append_code_point(out_, c);
  }

  void start_line() {
    if (!style_.is_multiline) return;
    put("\n");
    for (uint32_t i = 0; i < level_; ++i) put(style_.indent);
  }

  void separate() {
    // With an indent each item stands on its own line, so the separator loses its space.
    put(style_.item_separator);
    start_line();
  }

  void write_list(const std::vector<Value>& items) {
    if (items.empty()) return put("[]");
    put("[");
    ++level_;
    start_line();
    for (size_t i = 0; i < items.size(); ++i) {
      if (i != 0) separate();
      write(items[i]);
    }
    --level_;
    start_line();
    put("]");
  }

  std::string key_text(const Value& key) {
    switch (key.kind()) {
      case Kind::kString:
        return text_of(key);
      case Kind::kNone:
      case Kind::kBool:
      case Kind::kInt:
      case Kind::kBigInt:
      case Kind::kFloat:
        return scalar(key);
      default:
        fail(fmt::format("keys must be str, int, float, bool or None, not {}", type_name(key)));
    }
  }

  void write_dict(const DictObject& dict) {
    if (dict.items.empty()) return put("{}");
    std::vector<const std::pair<Value, Value>*> members;
    members.reserve(dict.items.size());
    for (const auto& member : dict.items) members.push_back(&member);
    if (style_.sort_keys) {
      std::stable_sort(members.begin(), members.end(), [&](const auto* a, const auto* b) {
        return less(runtime_, a->first, b->first);
      });
    }
    put("{");
    ++level_;
    start_line();
    for (size_t i = 0; i < members.size(); ++i) {
      if (i != 0) separate();
      write_text(key_text(members[i]->first));
      put(style_.key_separator);
      write(members[i]->second);
    }
    --level_;
    start_line();
    put("}");
  }

  Runtime& runtime_;
  const JsonStyle& style_;
  std::string out_;
  size_t next_check_ = 4096;
  uint32_t level_ = 0;
};

}  // namespace

std::string to_json(Runtime& runtime, const Value& value, const JsonStyle& style) {
  JsonWriter writer(runtime, style);
  writer.write(value);
  return writer.take();
}

}  // namespace nibble::jinja
