// Token ids as people type them.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace nibble {

/// Reads "1,2 3" or "[1, 2, 3]": decimal ids separated by commas or blanks.
/// Errors: kInvalidArgument (something else, or nothing).
Result<std::vector<int32_t>> parse_token_ids(std::string_view text);

/// "1,2,3"
std::string token_ids_text(std::span<const int32_t> ids);

}  // namespace nibble
