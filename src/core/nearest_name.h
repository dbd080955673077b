// What somebody probably meant who typed a name that does not exist.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace nibble {

/// The nearest of `candidates` by edit distance, if it is near enough to be a slip of the keyboard.
std::optional<std::string> nearest_name(std::string_view typed,
                                        std::span<const std::string> candidates);

}  // namespace nibble
