#include "chat/jinja/text.h"

#include <fmt/format.h>

#include <algorithm>

#include "chat/jinja/failure.h"
#include "chat/jinja/items.h"
#include "chat/jinja/numbers.h"
#include "chat/jinja/operators.h"
#include "chat/jinja/unicode.h"

namespace nibble::jinja {
namespace {

void append_escaped_char(std::string& out, char32_t c, char quote) {
  switch (c) {
    case '\n':
      out += "\\n";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\t':
      out += "\\t";
      return;
    case '\\':
      out += "\\\\";
      return;
    default:
      break;
  }
  if (c == static_cast<unsigned char>(quote)) {
    out.push_back('\\');
    out.push_back(quote);
  } else if (is_printable(c)) {
    append_code_point(out, c);
  } else if (c < 0x100) {
    out += fmt::format("\\x{:02x}", static_cast<uint32_t>(c));
  } else if (c < 0x10000) {
    out += fmt::format("\\u{:04x}", static_cast<uint32_t>(c));
  } else {
    out += fmt::format("\\U{:08x}", static_cast<uint32_t>(c));
  }
}

std::string bytes_repr(const std::string& bytes) {
  const bool has_single = bytes.find('\'') != std::string::npos;
  const char quote = has_single && bytes.find('"') == std::string::npos ? '"' : '\'';
  std::string out = std::string("b") + quote;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x7F || (byte < 0x20 && c != '\n' && c != '\r' && c != '\t')) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      append_escaped_char(out, byte, quote);
    }
  }
  return out + quote;
}

// Writes reprs into one growing text, whose size is checked against the memory limit as it grows.
class ReprWriter {
 public:
  explicit ReprWriter(Runtime& runtime) : runtime_(runtime) {}

  void write(const Value& value) {
    const Nesting nesting(runtime_);
    runtime_.step();
    switch (value.kind()) {
      case Kind::kList:
        return write_items("[", value.as<SequenceObject>().items, "]");
      case Kind::kTuple: {
        const auto& items = value.as<SequenceObject>().items;
        return write_items("(", items, items.size() == 1 ? ",)" : ")");
      }
      case Kind::kDict:
        return write_dict(value.as<DictObject>());
      case Kind::kDictView: {
        put(type_name(value));
        return write_items("([", items_of(runtime_, value), "])");
      }
      case Kind::kNamespace:
        return write_namespace(value);
      default:
        return write_scalar(value);
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

  void write_items(std::string_view open, const std::vector<Value>& items, std::string_view close) {
    put(open);
    for (size_t i = 0; i < items.size(); ++i) {
      if (i != 0) put(", ");
      write(items[i]);
    }
    put(close);
  }

  void write_dict(const DictObject& dict) {
    put("{");
    bool first = true;
    for (const auto& [key, value] : dict.items) {
      if (!first) put(", ");
      first = false;
      write(key);
      put(": ");
      write(value);
    }
    put("}");
  }

  void write_namespace(const Value& value) {
    const auto& object = value.as<NamespaceObject>();
    if (std::find(open_.begin(), open_.end(), &object) != open_.end())
      return put("<Namespace {...}>");
    open_.push_back(&object);
    put("<Namespace {");
    bool first = true;
    for (const auto& [name, attribute] : object.attributes) {
      if (!first) put(", ");
      first = false;
      put(text_repr(name));
      put(": ");
      write(attribute);
    }
    put("}>");
    open_.pop_back();
  }

  void write_scalar(const Value& value) {
    switch (value.kind()) {
      case Kind::kUndefined:
        return put("Undefined");
      case Kind::kString:
        if (is_markup(value)) return put(fmt::format("Markup({})", text_repr(text_of(value))));
        return put(text_repr(text_of(value)));
      default:
        return put(to_text(runtime_, value));
    }
  }

  Runtime& runtime_;
  std::string out_;
  size_t next_check_ = 4096;
  std::vector<const NamespaceObject*> open_;
};

std::string integer_text(const BigInt& value) {
  // Python refuses to print integers of more than 4300 digits.
  std::string out = value.to_string();
  if (out.size() > 4300 + (value.is_negative() ? 1u : 0u)) {
    fail("Exceeds the limit (4300 digits) for integer string conversion");
  }
  return out;
}

std::string range_text(const RangeObject& range) {
  if (range.step == 1) return fmt::format("range({}, {})", range.start, range.stop);
  return fmt::format("range({}, {}, {})", range.start, range.stop, range.step);
}

Value from_json_at(Runtime& runtime, const Json& json, uint32_t depth);

Value object_from_json(Runtime& runtime, const Json& json, uint32_t depth) {
  auto dict = std::make_shared<DictObject>();
  dict->items.reserve(json.size());
  for (const auto& [key, member] : json.items()) {
    dict->set(runtime, runtime.string(replace_invalid_utf8(key)),
              from_json_at(runtime, member, depth + 1));
  }
  return runtime.dict(std::move(dict));
}

Value from_json_at(Runtime& runtime, const Json& json, uint32_t depth) {
  runtime.step();
  if (depth > Runtime::kMaxValueDepth) {
    fail_limit(
        fmt::format("the variables are nested deeper than {} levels", Runtime::kMaxValueDepth));
  }
  switch (json.type()) {
    case Json::value_t::boolean:
      return Value::boolean(json.get<bool>());
    case Json::value_t::number_integer:
      return Value::integer(json.get<int64_t>());
    case Json::value_t::number_unsigned: {
      const auto number = json.get<uint64_t>();
      return runtime.integer(*BigInt::parse(std::to_string(number), 10));
    }
    case Json::value_t::number_float:
      return Value::number(json.get<double>());
    case Json::value_t::string:
      return runtime.string(replace_invalid_utf8(json.get_ref<const std::string&>()));
    case Json::value_t::array: {
      std::vector<Value> items;
      items.reserve(json.size());
      for (const Json& item : json) items.push_back(from_json_at(runtime, item, depth + 1));
      return runtime.list(std::move(items));
    }
    case Json::value_t::object:
      return object_from_json(runtime, json, depth);
    case Json::value_t::binary: {
      const auto& digits = json.get_binary();
      const auto number = parse_integer(std::string(digits.begin(), digits.end()), 10);
      return number ? runtime.integer(*number) : Value::none();
    }
    default:
      return Value::none();
  }
}

// The body of a call block is a macro without a name.
std::string macro_text(const CallableObject& macro) {
  return fmt::format("<Macro {}>", macro.name.empty() ? "anonymous" : text_repr(macro.name));
}

}  // namespace

std::string text_repr(std::string_view text) {
  const bool has_single = text.find('\'') != std::string_view::npos;
  const char quote = has_single && text.find('"') == std::string_view::npos ? '"' : '\'';
  std::string out(1, quote);
  for (size_t at = 0; at < text.size();) append_escaped_char(out, next_code_point(text, at), quote);
  out.push_back(quote);
  return out;
}

std::string to_repr(Runtime& runtime, const Value& value) {
  ReprWriter writer(runtime);
  writer.write(value);
  return writer.take();
}

std::string to_text(Runtime& runtime, const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
      return {};
    case Kind::kNone:
      return "None";
    case Kind::kBool:
      return value.as_bool() ? "True" : "False";
    case Kind::kInt:
      return std::to_string(value.as_int());
    case Kind::kBigInt:
      return integer_text(value.as<BigIntObject>().value);
    case Kind::kFloat:
      return float_text(value.as_float());
    case Kind::kString:
      return text_of(value);
    case Kind::kBytes:
      return bytes_repr(value.as<BytesObject>().bytes);
    case Kind::kRange:
      return range_text(value.as<RangeObject>());
    case Kind::kStream:
      return fmt::format("<{} object>", type_name(value));
    case Kind::kLoop: {
      auto& loop = value.as<LoopObject>();
      return fmt::format("<LoopContext {}/{}>", loop.index0 + 1, loop.length(runtime));
    }
    case Kind::kCallable: {
      const auto& callable = value.as<CallableObject>();
      if (callable.type_name == "Macro") return macro_text(callable);
      return fmt::format("<{} {}>", callable.type_name, callable.name);
    }
    case Kind::kInstance:
      return fmt::format("<{} object>", type_name(value));
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kDict:
    case Kind::kDictView:
    case Kind::kNamespace:
      break;
  }
  return to_repr(runtime, value);
}

Value soft_text(Runtime& runtime, const Value& value) {
  return value.is_string() ? value : runtime.string(to_text(runtime, value));
}

std::string escape_text(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&#34;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out.push_back(c);
    }
  }
  return out;
}

Value escape(Runtime& runtime, const Value& value) {
  if (is_markup(value)) return value;
  return runtime.string(escape_text(to_text(runtime, value)), true);
}

Value from_json(Runtime& runtime, const Json& json) { return from_json_at(runtime, json, 0); }

}  // namespace nibble::jinja
