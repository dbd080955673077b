#include "tokenizer/unicode/utf8.h"

#include <cstring>

namespace nibble {
namespace {

// The length that a lead byte announces and the values allowed for the byte after it, which exclude
// overlong forms, surrogates and what lies above U+10FFFF. Length 0: not a lead byte.
struct Lead {
  uint8_t n_bytes;
  uint8_t second_min;
  uint8_t second_max;
};

Lead classify_lead(uint8_t byte) {
  if (byte < 0x80) return {1, 0, 0};
  if (byte < 0xC2) return {0, 0, 0};
  if (byte < 0xE0) return {2, 0x80, 0xBF};
  if (byte == 0xE0) return {3, 0xA0, 0xBF};
  if (byte == 0xED) return {3, 0x80, 0x9F};
  if (byte < 0xF0) return {3, 0x80, 0xBF};
  if (byte == 0xF0) return {4, 0x90, 0xBF};
  if (byte < 0xF4) return {4, 0x80, 0xBF};
  if (byte == 0xF4) return {4, 0x80, 0x8F};
  return {0, 0, 0};
}

// Length of the ASCII run at the start, eight bytes at a time.
size_t ascii_prefix(std::string_view text) {
  size_t n = 0;
  for (; n + 8 <= text.size(); n += 8) {
    uint64_t chunk;
    std::memcpy(&chunk, text.data() + n, 8);
    if ((chunk & 0x8080808080808080ull) != 0) break;
  }
  while (n < text.size() && static_cast<uint8_t>(text[n]) < 0x80) ++n;
  return n;
}

}  // namespace

Utf8Step step_utf8(std::string_view bytes) {
  using Kind = Utf8Step::Kind;
  const auto at = [&](size_t i) { return static_cast<uint8_t>(bytes[i]); };
  const Lead lead = classify_lead(at(0));
  if (lead.n_bytes == 0) return {Kind::kBroken, 1, 0};
  if (lead.n_bytes == 1) return {Kind::kCharacter, 1, at(0)};
  for (uint8_t i = 1; i < lead.n_bytes; ++i) {
    if (i == bytes.size()) return {Kind::kCutOff, i, 0};
    const uint8_t low = i == 1 ? lead.second_min : 0x80;
    const uint8_t high = i == 1 ? lead.second_max : 0xBF;
    if (at(i) < low || at(i) > high) return {Kind::kBroken, i, 0};
  }
  const char* p = bytes.data();
  return {Kind::kCharacter, lead.n_bytes, next_code_point(p)};
}

void append_utf8(std::string& out, char32_t code_point) {
  const auto put = [&](char32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (code_point < 0x80) {
    put(code_point);
  } else if (code_point < 0x800) {
    put(0xC0 | code_point >> 6);
    put(0x80 | (code_point & 0x3F));
  } else if (code_point < 0x10000) {
    put(0xE0 | code_point >> 12);
    put(0x80 | (code_point >> 6 & 0x3F));
    put(0x80 | (code_point & 0x3F));
  } else {
    put(0xF0 | code_point >> 18);
    put(0x80 | (code_point >> 12 & 0x3F));
    put(0x80 | (code_point >> 6 & 0x3F));
    put(0x80 | (code_point & 0x3F));
  }
}

size_t valid_utf8_prefix(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    at += ascii_prefix(text.substr(at));
    while (at < text.size() && static_cast<uint8_t>(text[at]) >= 0x80) {
      const Utf8Step step = step_utf8(text.substr(at));
      if (step.kind != Utf8Step::Kind::kCharacter) return at;
      at += step.n_bytes;
    }
  }
  return at;
}

size_t append_lossy_utf8(std::string& out, std::string_view bytes, bool is_final) {
  size_t at = 0;
  while (at < bytes.size()) {
    const size_t n_valid = valid_utf8_prefix(bytes.substr(at));
    out.append(bytes.substr(at, n_valid));
    at += n_valid;
    if (at == bytes.size()) break;
    const Utf8Step step = step_utf8(bytes.substr(at));
    if (step.kind == Utf8Step::Kind::kCutOff && !is_final) return at;
    out.append("\xEF\xBF\xBD");
    at += step.n_bytes;
  }
  return at;
}

}  // namespace nibble
