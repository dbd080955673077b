// Fuzzes tokenizer.json: what loads must take any text and give it back whole or in pieces alike.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/check.h"
#include "tokenizer/stream_decoder.h"
#include "tokenizer/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view file(reinterpret_cast<const char*>(data), size);
  const nibble::Result<nibble::Tokenizer> tokenizer = nibble::Tokenizer::from_json(file, "input");
  if (!tokenizer) return 0;
  const nibble::Result<std::vector<int32_t>> ids =
      tokenizer->encode("Hello, 12 w\xc3\xb6rlds!\n\n  \xe4\xb8\xad <|im_end|> a\xcc\x81");
  if (!ids) return 0;
  nibble::StreamDecoder stream(*tokenizer);
  std::string pieces;
  for (const int32_t id : *ids) {
    CHECK(id >= 0 && static_cast<size_t>(id) < tokenizer->size());
    pieces += stream.push(id);
  }
  pieces += stream.flush();
  CHECK(pieces == tokenizer->decode(*ids));
  return 0;
}
