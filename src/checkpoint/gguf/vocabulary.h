// The vocabulary in a GGUF file's metadata.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/gguf/metadata.h"
#include "core/result.h"

namespace nibble {

/// What a token is, with the numbers that files use.
enum class GgufTokenType : uint8_t {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6,
};

/// Texts are borrowed from the header.
struct GgufVocabulary {
  const std::vector<std::string>* tokens = nullptr;
  const std::vector<std::string>* merges = nullptr;  ///< "a b"; nullptr where there are none
  std::vector<GgufTokenType> types;                  ///< of each token
  size_t n_used = 0;                                 ///< without the unused tokens at the end
  std::string pre;                                   ///< name of the pre-tokenizer

  bool is_added(size_t id) const {
    return types[id] == GgufTokenType::kControl || types[id] == GgufTokenType::kUserDefined;
  }
};

/// Errors: kNotFound (the file has no tokenizer), kUnsupported (not byte-level BPE), kCorrupt.
Result<GgufVocabulary> read_gguf_vocabulary(const GgufMetadata& metadata);

/// The token that a field such as "tokenizer.ggml.eos_token_id" names; nothing where the field is
/// absent or says "none" (all bits set). Errors: kCorrupt (no such token).
Result<std::optional<uint64_t>> find_gguf_token(const GgufMetadata& metadata,
                                                const GgufVocabulary& vocabulary,
                                                std::string_view key);

}  // namespace nibble
