// The tables of methods of the built-in types.
#pragma once

#include <string_view>

#include "chat/jinja/runtime.h"
#include "chat/jinja/value.h"

namespace nibble::jinja {

using MethodFunction = Value (*)(Runtime&, const Value& self, const Arguments&);

/// The method of str with this name, or null. Two tables: those that search and split, the others.
MethodFunction find_search_method(std::string_view name);
MethodFunction find_shape_method(std::string_view name);

/// The method of any other built-in type, or null.
MethodFunction find_container_method(Kind kind, std::string_view name);

/// Lines as str.splitlines sees them.
std::vector<std::string> split_lines(std::string_view text, bool keep_ends);

/// str.replace with at most `limit` replacements (negative: all).
std::string replace_text(Runtime& runtime, std::string_view text, std::string_view old,
                         std::string_view replacement, int64_t limit);

/// str.strip(chars); white space where no characters are given.
std::string_view strip_text(std::string_view text, const std::u32string* chars, bool left,
                            bool right);

/// str.center.
Value center_text(Runtime& runtime, const Value& text, int64_t width, std::string_view fill);

/// separator.join(items) for items that must be strings.
Value join_texts(Runtime& runtime, const Value& separator, const Value& items);

}  // namespace nibble::jinja
