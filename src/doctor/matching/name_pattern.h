// The ways in which loaders match module names: anchored regular expressions and shell globs.
#pragma once

#include <string>
#include <string_view>

namespace nibble {

/// Whether a Perl-compatible expression matches from the start of `name`, not necessarily to its
/// end. Malformed and too costly expressions match nothing.
bool matches_from_start(const std::string& expression, std::string_view name);

/// Whether a glob of *, ? and [sets] matches all of `name`. Cost: at most the product of the
/// lengths.
bool matches_glob(std::string_view glob, std::string_view name);

}  // namespace nibble
