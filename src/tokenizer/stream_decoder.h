// Text of tokens that arrive one by one, never splitting a character.
#pragma once

#include <cstdint>
#include <string>

#include "tokenizer/tokenizer.h"

namespace nibble {

/// Decodes a growing sequence of ids. The concatenation of all that push() and flush() return
/// equals Tokenizer::decode of all ids. Borrows the tokenizer. One thread at a time.
class StreamDecoder {
 public:
  explicit StreamDecoder(const Tokenizer& tokenizer, const DecodeOptions& options = {})
      : tokenizer_(&tokenizer), options_(options) {}

  /// The text that is certain once this token is known: empty while a character is incomplete (at
  /// most three bytes are held back). Bytes that can no longer become a character give U+FFFD at
  /// once.
  std::string push(int32_t id);

  /// What is still held back, as U+FFFD, and a fresh start.
  std::string flush();

 private:
  const Tokenizer* tokenizer_;
  DecodeOptions options_;
  std::string pending_;
};

}  // namespace nibble
