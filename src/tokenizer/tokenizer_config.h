// The part of tokenizer_config.json that says which tokens have a role in a conversation.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/result.h"

namespace nibble {

/// Contents of tokens, absent where the file has none or null.
struct TokenizerConfig {
  std::optional<std::string> bos_token;
  std::optional<std::string> eos_token;
  std::optional<std::string> pad_token;
  std::optional<std::string> unk_token;
  bool add_bos_token = false;
  bool add_eos_token = false;
};

/// Reads the content of a tokenizer_config.json; `subject` names the file in errors. A token may
/// stand there as a string or as an object with "content". Errors: kCorrupt.
Result<TokenizerConfig> parse_tokenizer_config(std::string_view json, std::string_view subject);

}  // namespace nibble
