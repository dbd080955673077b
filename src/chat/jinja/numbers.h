// Numbers as text, the way Python writes and reads them.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "chat/jinja/big_int.h"

namespace nibble::jinja {

/// The shortest digits that read back as the same number ("1.0", "1e+16", "inf"), like repr(float).
std::string float_text(double value);

/// What float(text) accepts: white space around, digits with single underscores, inf and nan.
std::optional<double> parse_float(std::string_view text);

/// What int(text, base) accepts, base 0 or 2 to 36: white space, sign, prefix, single underscores.
std::optional<BigInt> parse_integer(std::string_view text, uint32_t base);

}  // namespace nibble::jinja
