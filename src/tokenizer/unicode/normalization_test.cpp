// Normal forms against the reference library, whose tables are those of Unicode 9.0.
#include "tokenizer/unicode/normalization.h"

#include <gtest/gtest.h>

#include "tokenizer/testing/test_files.h"
#include "tokenizer/unicode/utf8.h"

namespace nibble {
namespace {

// "0041 0301" as text.
std::string from_hex(const std::string& list) {
  std::istringstream numbers(list);
  std::string text;
  for (std::string number; numbers >> number;) {
    append_utf8(text, static_cast<char32_t>(std::stoul(number, nullptr, 16)));
  }
  return text;
}

void check_rows(const std::string& tsv) {
  std::istringstream lines(tsv);
  int n_rows = 0;
  for (std::string line; std::getline(lines, line); ++n_rows) {
    std::istringstream columns(line);
    std::string input;
    std::string expected;
    ASSERT_TRUE(std::getline(columns, input, '\t') && std::getline(columns, expected, '\t'));
    std::string buffer;
    EXPECT_EQ(normalize(NormalForm::kNfc, from_hex(input), buffer), from_hex(expected)) << input;
    // The same between other text: the neighbours must not matter.
    const std::string framed = "x" + from_hex(input) + "\xE4\xB8\xAD";
    EXPECT_EQ(normalize(NormalForm::kNfc, framed, buffer),
              "x" + from_hex(expected) + "\xE4\xB8\xAD")
        << input;
  }
  EXPECT_GT(n_rows, 500);
}

TEST(Nfc, MatchesTheReference) {
  std::string rows = test::read_text(test::source_path("tests/data/tokenizer/nfc.tsv"));
  // A leading mark would join the "x" of the frame: rows that begin with one cannot be framed.
  std::istringstream lines(rows);
  std::string kept;
  for (std::string line; std::getline(lines, line);) {
    const std::string first = from_hex(line.substr(0, line.find_first_of(" \t")));
    std::string buffer;
    if (normalize(NormalForm::kNfc, "\xCC\xA3\xCC\xB4" + first, buffer) ==
        "\xCC\xB4\xCC\xA3" + first) {
      kept += line + "\n";
    }
  }
  check_rows(kept);
}

TEST(Nfc, ReturnsTheTextItselfWhereNothingChanges) {
  std::string buffer;
  for (const std::string_view text :
       {"", "plain", "d\xC3\xA9j\xC3\xA0 vu", "\xE4\xB8\xAD\xE6\x96\x87", "\xED\x95\x9C"}) {
    EXPECT_EQ(normalize(NormalForm::kNfc, text, buffer).data(), text.data());
  }
}

TEST(Nfc, LongStacksOfMarksTakeNoQuadraticTime) {
  std::string text = "a";
  for (int i = 0; i < 200000; ++i) text += "\xCC\x81\xCC\xA3";  // U+0301 U+0323
  std::string buffer;
  const std::string_view result = normalize(NormalForm::kNfc, text, buffer);
  EXPECT_EQ(result.substr(0, 5), "\xE1\xBA\xA1\xCC\xA3");  // U+1EA1: the dots below come first
  EXPECT_EQ(result.substr(result.size() - 2), "\xCC\x81");
}

TEST(NormalForms, DecomposeAndFoldCompatibility) {
  std::string buffer;
  EXPECT_EQ(normalize(NormalForm::kNfd, "\xC3\xA9", buffer), "e\xCC\x81");
  EXPECT_EQ(normalize(NormalForm::kNfkd, "\xEF\xAC\x81\xC3\xA9", buffer), "fie\xCC\x81");
  EXPECT_EQ(normalize(NormalForm::kNfkc,
                      "\xEF\xAC\x81"
                      "e\xCC\x81",
                      buffer),
            "fi\xC3\xA9");
}

}  // namespace
}  // namespace nibble
