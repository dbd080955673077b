// The small files of a checkpoint folder, made from what a GGUF file keeps in its metadata.
#pragma once

#include <string>
#include <string_view>

#include "core/result.h"
#include "formats/gguf.h"

namespace nibble {

/// The text that a folder's file of that name would hold: "tokenizer.json",
/// "tokenizer_config.json", "chat_template.jinja", "generation_config.json".
///
/// The tokenizer gives the ids of the original one on every text: its normalizer and pre-tokenizer
/// follow from "tokenizer.ggml.pre", control tokens become special added tokens and user-defined
/// ones added tokens, and unused fillers at the end of the vocabulary are left out. Cost: half a
/// second for 250,000 tokens.
/// Errors: kNotFound (any other name, or nothing in the metadata to make it from), kCorrupt,
/// kUnsupported (another kind of tokenizer).
Result<std::string> gguf_side_file(const GgufHeader& header, std::string_view name,
                                   const std::string& subject);

}  // namespace nibble
