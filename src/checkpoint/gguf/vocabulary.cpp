#include "checkpoint/gguf/vocabulary.h"

#include <fmt/format.h>

#include <limits>

namespace nibble {
namespace {

Result<std::vector<GgufTokenType>> read_types(const GgufMetadata& metadata, size_t n_tokens) {
  ASSIGN_OR_RETURN(const auto numbers, metadata.find_counts("tokenizer.ggml.token_type"));
  if (!numbers) return std::vector<GgufTokenType>(n_tokens, GgufTokenType::kNormal);
  if (numbers->size() != n_tokens) {
    return metadata.corrupt(
        fmt::format("has {} tokens but {} token types", n_tokens, numbers->size()));
  }
  std::vector<GgufTokenType> types;
  types.reserve(n_tokens);
  for (const uint64_t number : *numbers) {
    // 0 is what old writers put where they knew nothing.
    if (number > static_cast<uint64_t>(GgufTokenType::kByte)) {
      return metadata.corrupt(fmt::format("has a token of type {}; types go up to 6", number));
    }
    types.push_back(number == 0 ? GgufTokenType::kNormal : static_cast<GgufTokenType>(number));
  }
  return types;
}

}  // namespace

Result<GgufVocabulary> read_gguf_vocabulary(const GgufMetadata& metadata) {
  ASSIGN_OR_RETURN(const auto model, metadata.find_text("tokenizer.ggml.model"));
  if (!model || *model == "none" || *model == "no_vocab") {
    return Error(ErrorCode::kNotFound, "the file has no tokenizer", metadata.subject());
  }
  if (*model != "gpt2") {
    return Error(ErrorCode::kUnsupported,
                 fmt::format("has a tokenizer of the kind \"{:.80}\"; only byte-level BPE "
                             "(\"gpt2\") is supported",
                             *model),
                 metadata.subject());
  }
  GgufVocabulary vocabulary;
  ASSIGN_OR_RETURN(vocabulary.tokens, metadata.find_texts("tokenizer.ggml.tokens"));
  ASSIGN_OR_RETURN(vocabulary.merges, metadata.find_texts("tokenizer.ggml.merges"));
  if (vocabulary.tokens == nullptr) {
    return metadata.corrupt("has a tokenizer without tokenizer.ggml.tokens");
  }
  ASSIGN_OR_RETURN(vocabulary.types, read_types(metadata, vocabulary.tokens->size()));
  ASSIGN_OR_RETURN(auto pre, metadata.find_text("tokenizer.ggml.pre"));
  vocabulary.pre = std::move(pre).value_or("default");
  vocabulary.n_used = vocabulary.types.size();
  while (vocabulary.n_used > 0 &&
         vocabulary.types[vocabulary.n_used - 1] == GgufTokenType::kUnused) {
    --vocabulary.n_used;
  }
  return vocabulary;
}

Result<std::optional<uint64_t>> find_gguf_token(const GgufMetadata& metadata,
                                                const GgufVocabulary& vocabulary,
                                                std::string_view key) {
  ASSIGN_OR_RETURN(const auto id, metadata.find_count(key));
  if (!id || *id == std::numeric_limits<uint32_t>::max()) return std::optional<uint64_t>();
  if (*id >= vocabulary.tokens->size()) {
    return metadata.corrupt(fmt::format("\"{}\" is {}, but there are only {} tokens", key, *id,
                                        vocabulary.tokens->size()));
  }
  return id;
}

}  // namespace nibble
