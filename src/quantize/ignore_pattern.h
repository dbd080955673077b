// Patterns that name tensors to leave alone, read as users of the common quantization tools write
// them.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace nibble {

/// The two names of one tensor.
struct TensorNames {
  std::string_view canonical;
  std::string_view stored;
};

/// Which tensors a pattern means.
///   "re:REGEX"  a Perl-compatible expression that must match from the start of the name (not
///               necessarily to its end), tried on stored and canonical names without ".weight";
///               with ".weight" only where that finds nothing
///   "NAME"      the whole name, stored or canonical, with or without ".weight"; where no tensor
///   has
///               it, whole dotted parts of names ("linear_attn", "layers.3.mlp"); where there are
///               none, any part of the text
///   returns     one flag for each of `tensors`, at least one of them set
/// Errors: kInvalidArgument (the expression is malformed or too costly, or matches nothing: the
/// message lists what there is).
Result<std::vector<bool>> match_pattern(const std::string& pattern,
                                        std::span<const TensorNames> tensors);

}  // namespace nibble
