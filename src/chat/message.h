// Reading chat messages, tools and template variables from JSON.
#pragma once

#include <string_view>

#include "core/json.h"
#include "core/result.h"

namespace nibble {

/// Parses JSON for a template: like parse_json, but an integer beyond 64 bits keeps all its digits,
/// as a binary member that holds its decimal text (Template::render prints it as a number).
///   errors   kCorrupt, kLimit, as parse_json
Result<Json> parse_message_json(std::string_view text, std::string_view subject);

}  // namespace nibble
