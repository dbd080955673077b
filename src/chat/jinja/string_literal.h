// The values of string literals.
#pragma once

#include <string>
#include <string_view>

#include "chat/jinja/failure.h"

namespace nibble::jinja {

/// The text between the quotes with its backslash escapes replaced, as Python's "unicode-escape"
/// decodes it. Stops at `position` on an incomplete or unknown code point.
std::string decode_string_literal(std::string_view raw, Position position);

}  // namespace nibble::jinja
