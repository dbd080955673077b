// Attribute access as the sandbox of Jinja allows it, and the methods of the built-in types.
#pragma once

#include <optional>
#include <string_view>

#include "chat/jinja/runtime.h"
#include "chat/jinja/value.h"

namespace nibble::jinja {

/// value.name: the attribute, else the item of that name, else an undefined value.
Value get_attribute(Runtime& runtime, const Value& value, std::string_view name);

/// value[key]: the item, else for a text the attribute of that name, else an undefined value.
Value get_item(Runtime& runtime, const Value& value, const Value& key);

/// The attribute alone; nothing where Python has none. What the sandbox hides comes as undefined.
std::optional<Value> find_attribute(Runtime& runtime, const Value& value, std::string_view name);

/// A method of str, list, tuple, dict and so on, bound to its value; nothing if there is none.
std::optional<Value> find_method(Runtime& runtime, const Value& value, std::string_view name);

}  // namespace nibble::jinja
