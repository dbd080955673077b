// The metadata of a GGUF file that hold the tokenizer and the chat template.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/json.h"
#include "core/result.h"
#include "formats/gguf.h"

namespace nibble {

/// The texts that a tokenizer is made from; empty where there is none.
struct TokenizerTexts {
  std::string tokenizer;      ///< tokenizer.json
  std::string settings;       ///< tokenizer_config.json
  std::string chat_template;  ///< chat_template.jinja
};

/// tokenizer.ggml.* and tokenizer.chat_template. Without a tokenizer.json they say that the file
/// has none.
///   vocab_size  rows of the embedding; ids without a token get fillers
///   config      config.json, for ids of special tokens that the tokenizer does not name
/// Errors: kCorrupt, kUnsupported (a tokenizer that is not byte-level BPE, or that splits text in a
/// way that readers of GGUF do not know), kLimit.
Result<std::vector<GgufField>> gguf_tokenizer_fields(const TokenizerTexts& texts,
                                                     uint64_t vocab_size, const Json& config,
                                                     const std::string& subject);

}  // namespace nibble
