// Turns the matches of a pattern into the pieces that a Split leaves.
#pragma once

#include <vector>

#include "tokenizer/regex/regex.h"
#include "tokenizer/stages/pre_tokenizer.h"

namespace nibble {

/// Appends to `out` the pieces of [begin, end). `matches` lie inside it, relative to `begin`,
/// rising and disjoint. With `invert` the stretches between matches take the matches' place. Empty
/// pieces are dropped.
void append_pieces(TextSpan whole, const std::vector<TextSpan>& matches, SplitBehavior behavior,
                   bool invert, std::vector<TextSpan>& out);

}  // namespace nibble
