// The "pattern" objects of tokenizer.json: {"Regex": ...} or {"String": ...}.
#pragma once

#include "core/result.h"
#include "tokenizer/definition/fields.h"
#include "tokenizer/regex/regex.h"

namespace nibble {

/// Compiles `stage`'s "pattern". Errors: kCorrupt, and those of Regex::compile.
Result<Regex> compile_pattern(const FieldsView& stage);

/// The members of a "Sequence", each opened as an object. Errors: kCorrupt; kLimit where sequences
/// are nested deeper than makes sense.
Result<std::vector<FieldsView>> members_of(const FieldsView& sequence, std::string_view key,
                                           int depth);

}  // namespace nibble
