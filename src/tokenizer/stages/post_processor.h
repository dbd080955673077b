// "post_processor" and "decoder" of tokenizer.json.
#pragma once

#include <cstdint>
#include <vector>

#include "core/result.h"
#include "tokenizer/definition/fields.h"
#include "tokenizer/model/vocabulary.h"

namespace nibble {

/// The tokens that a template puts around one text.
struct PostProcessor {
  std::vector<int32_t> before;
  std::vector<int32_t> after;
};

/// Reads the post-processor: none, ByteLevel (which concerns offsets only), TemplateProcessing for
/// a single text, or a Sequence of these. Errors: kCorrupt, kUnsupported.
Result<PostProcessor> read_post_processor(const FieldsView& document, const Vocabulary& vocabulary);

/// kUnsupported unless the decoder is ByteLevel, alone or as the only member of a Sequence.
Status check_decoder(const FieldsView& document);

}  // namespace nibble
