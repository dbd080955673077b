// Values as text: str(), repr(), JSON and HTML.
#pragma once

#include <string>
#include <string_view>

#include "chat/jinja/runtime.h"
#include "chat/jinja/value.h"

namespace nibble::jinja {

/// str(value).
std::string to_text(Runtime& runtime, const Value& value);

/// repr(value).
std::string to_repr(Runtime& runtime, const Value& value);
std::string text_repr(std::string_view text);

/// str(value) as a value; strings stay what they are, markup included.
Value soft_text(Runtime& runtime, const Value& value);

/// How json.dumps is told to write.
struct JsonStyle {
  bool ensure_ascii = false;
  bool sort_keys = false;
  bool is_multiline = false;  ///< an indent was given, possibly an empty one
  std::string indent;
  std::string item_separator = ", ";
  std::string key_separator = ": ";
};

/// json.dumps(value).
std::string to_json(Runtime& runtime, const Value& value, const JsonStyle& style);

/// markupsafe.escape: the five special characters of HTML; markup stays what it is.
Value escape(Runtime& runtime, const Value& value);
std::string escape_text(std::string_view text);

/// The JSON tree as values. A binary member holds the decimal digits of an integer beyond 64 bits,
/// as parse_message_json leaves it.
Value from_json(Runtime& runtime, const Json& json);

}  // namespace nibble::jinja
