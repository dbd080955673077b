// Lossy decoding: which sequences are broken, how many U+FFFD they give, and what is held back.
#include "tokenizer/unicode/utf8.h"

#include <gtest/gtest.h>

namespace nibble {
namespace {

constexpr char kReplacement[] = "\xEF\xBF\xBD";

std::string lossy(std::string_view bytes) {
  std::string out;
  EXPECT_EQ(append_lossy_utf8(out, bytes, true), bytes.size());
  return out;
}

std::string replacements(int n) {
  std::string out;
  for (int i = 0; i < n; ++i) out += kReplacement;
  return out;
}

TEST(Utf8, EveryCodePointComesBack) {
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    std::string text;
    append_utf8(text, c);
    const Utf8Step step = step_utf8(text);
    ASSERT_EQ(step.kind, Utf8Step::Kind::kCharacter) << static_cast<uint32_t>(c);
    ASSERT_EQ(step.code_point, c);
    ASSERT_EQ(step.n_bytes, text.size());
    ASSERT_EQ(utf8_length(text[0]), text.size());
    for (size_t n = 1; n < text.size(); ++n) {
      ASSERT_EQ(step_utf8(std::string_view(text).substr(0, n)).kind, Utf8Step::Kind::kCutOff);
    }
  }
}

TEST(Utf8, OneReplacementForEveryMaximalPart) {
  struct Row {
    std::string_view bytes;
    int n_replacements;
  };
  const Row rows[] = {{"\x80", 1},              // continuation alone
                      {"\xC0\xAF", 2},          // overlong
                      {"\xE0\x80\xAF", 3},      // overlong
                      {"\xED\xA0\x80", 3},      // surrogate
                      {"\xF4\x90\x80\x80", 4},  // above U+10FFFF
                      {"\xF5\x80\x80\x80", 4},
                      {"\xFF", 1},
                      {"\xE4\xB8", 1},  // cut off
                      {"\xF0\x9F\x98", 1},
                      {"\xF0\x9F\xF0\x9F", 2},
                      {"\xE4\xE4\xB8", 2}};
  for (const Row& row : rows) {
    EXPECT_EQ(lossy(row.bytes), replacements(row.n_replacements));
    EXPECT_EQ(lossy("a" + std::string(row.bytes) + "b"),
              "a" + replacements(row.n_replacements) + "b");
    EXPECT_EQ(valid_utf8_prefix("12345678" + std::string(row.bytes)), 8u);
  }
}

TEST(Utf8, HoldsBackOnlyWhatMayStillBecomeACharacter) {
  struct Row {
    std::string_view bytes;
    size_t n_consumed;
  };
  const Row rows[] = {{"ab", 2},      {"a\xE4", 1},        {"a\xE4\xB8", 1}, {"a\xE4\xB8\xAD", 4},
                      {"a\xE4x", 3},  {"\xF0\x9F\x98", 0}, {"\xED\xA0", 2},  {"\xC0", 1},
                      {"\x80\xC3", 1}};
  for (const Row& row : rows) {
    std::string out;
    EXPECT_EQ(append_lossy_utf8(out, row.bytes, false), row.n_consumed);
  }
}

}  // namespace
}  // namespace nibble
