// Reads and checks "model" of tokenizer.json: options, vocabulary, merges.
#pragma once

#include <cstdint>
#include <vector>

#include "core/result.h"
#include "tokenizer/definition/fields.h"
#include "tokenizer/model/vocabulary.h"

namespace nibble {

/// One merge in ids; its rank is its place in the list.
struct MergeRow {
  int32_t left;
  int32_t right;
  int32_t result;
};

/// kUnsupported for another type than BPE and for options that make no sense for bytes or at
/// inference (affixes, dropout).
Status check_model_options(const FieldsView& model);

/// Adds the tokens of "vocab" to an empty `vocabulary`. kCorrupt unless the ids are 0, 1, 2 ...
/// each once; kLimit for a token longer than Vocabulary::kMaxContentBytes.
Status read_vocabulary(const FieldsView& model, Vocabulary& vocabulary);

/// Reads "merges", each "left right" or ["left", "right"]. kCorrupt where a part or the result is
/// not in the vocabulary.
Result<std::vector<MergeRow>> read_merges(const FieldsView& model, const Vocabulary& vocabulary);

}  // namespace nibble
