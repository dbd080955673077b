// Fuzzes the text given to the bundled model's tokenizer: no text may break it, decoding in pieces
// must equal decoding at once, and encoding what was decoded must not change it again.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/check.h"
#include "core/file.h"
#include "tokenizer/stream_decoder.h"
#include "tokenizer/tokenizer.h"

namespace {

const nibble::Tokenizer& nano_tokenizer() {
  static const nibble::Tokenizer tokenizer = [] {
    const auto file = nibble::read_file(NIBBLE_SOURCE_DIR "/models/nano/tokenizer.json");
    return nibble::Tokenizer::from_json(file.value(), "nano").value();
  }();
  return tokenizer;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const nibble::Tokenizer& tokenizer = nano_tokenizer();
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const nibble::Result<std::vector<int32_t>> ids = tokenizer.encode(text);
  if (!ids) return 0;
  nibble::StreamDecoder stream(tokenizer);
  std::string pieces;
  for (const int32_t id : *ids) pieces += stream.push(id);
  pieces += stream.flush();
  const std::string decoded = tokenizer.decode(*ids);
  CHECK(pieces == decoded);
  const nibble::Result<std::vector<int32_t>> again = tokenizer.encode(decoded);
  CHECK(again.has_value() && tokenizer.decode(*again) == decoded);
  return 0;
}
