#include "tokenizer/stream_decoder.h"

#include "tokenizer/unicode/utf8.h"

namespace nibble {

std::string StreamDecoder::push(int32_t id) {
  if (options_.skip_special && tokenizer_->is_special(id)) return {};
  pending_.append(tokenizer_->token_bytes(id));
  std::string text;
  pending_.erase(0, append_lossy_utf8(text, pending_, false));
  return text;
}

std::string StreamDecoder::flush() {
  std::string text;
  append_lossy_utf8(text, pending_, true);
  pending_.clear();
  return text;
}

}  // namespace nibble
