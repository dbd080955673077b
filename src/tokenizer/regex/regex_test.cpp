// Splits by the expressions of the Qwen family, and expressions that must be refused or stopped.
#include "tokenizer/regex/regex.h"

#include <gtest/gtest.h>

#include "tokenizer/testing/test_files.h"

namespace nibble {
namespace {

constexpr char kCurrent[] =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr char kOlder[] =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

std::vector<std::string> matches_of(const Regex& regex, std::string_view text) {
  std::vector<uint8_t> symbols;
  std::vector<TextSpan> spans;
  EXPECT_TRUE(regex.find_all(text, symbols, spans));
  std::vector<std::string> words;
  for (const TextSpan& span : spans) {
    words.emplace_back(text.substr(span.begin, span.end - span.begin));
  }
  return words;
}

Regex compile_or_fail(std::string_view expression) {
  auto regex = Regex::compile(expression, "test");
  EXPECT_TRUE(regex) << regex.error().to_string();
  return std::move(*regex);
}

TEST(Regex, SplitsLikeTheReference) {
  const Regex current = compile_or_fail(kCurrent);
  const Regex older = compile_or_fail(kOlder);
  for (const Json& row :
       test::read_json_lines(test::source_path("tests/data/tokenizer/splits.jsonl"))) {
    using Words = std::vector<std::string>;
    const auto text = row["text"].get<std::string>();
    const auto words = row["words"].get<Words>();
    EXPECT_EQ(matches_of(current, text), words) << row["text"].dump();
    EXPECT_EQ(matches_of(older, text), row.value("words_older", words)) << row["text"].dump();
  }
}

TEST(Regex, LiteralsMatchThemselves) {
  const std::string syntax = R"(a.b*[c]{2}\d^$|(x)?-+)";
  auto regex = Regex::compile_literal(syntax, "test");
  ASSERT_TRUE(regex);
  EXPECT_EQ(matches_of(*regex, "a" + syntax + syntax), (std::vector<std::string>{syntax, syntax}));
  EXPECT_TRUE(matches_of(*regex, "aXb").empty());
}

TEST(Regex, ClassesOfNoMemberNeverMatch) {
  EXPECT_TRUE(matches_of(compile_or_fail("[a&&b]"), "ab").empty());
  EXPECT_EQ(matches_of(compile_or_fail("[a&&b]|b"), "ab").size(), 1u);
}

TEST(Regex, RefusesWhatItCannotCarryOut) {
  for (const char* const expression :
       {R"((a)\1)", R"(\k<n>)", R"(\X)", R"(\p{Han})", R"((?(1)a|b))", R"((?~a))", R"((*FAIL))",
        R"([[:alpha:]])", R"(\G)", R"((?x)a)", R"(a{3,1})", "a**********", R"(\q)"}) {
    const auto regex = Regex::compile(expression, "test");
    ASSERT_FALSE(regex) << expression;
    EXPECT_EQ(regex.error().code, ErrorCode::kUnsupported) << regex.error().to_string();
  }
}

TEST(Regex, RefusesBrokenSyntax) {
  for (const char* const expression : {"(",
                                       ")",
                                       "a)",
                                       "(?",
                                       "(?:a",
                                       "[",
                                       "[a",
                                       "[]",
                                       "[^]",
                                       "*a",
                                       "(*a)",
                                       "+",
                                       "a|*",
                                       "\\",
                                       "[z-a]",
                                       "[a-\\d]",
                                       R"(\p)",
                                       R"(\p{L)",
                                       R"(\x{110000})",
                                       R"(\ud800)",
                                       R"(\xg)",
                                       "(?#",
                                       "(?<n",
                                       "(?<=a*)b",
                                       "a{99999}",
                                       "((a{1000}){1000}){1000}"}) {
    const auto regex = Regex::compile(expression, "test");
    ASSERT_FALSE(regex) << expression;
    EXPECT_FALSE(regex.error().message.empty());
  }
  EXPECT_FALSE(Regex::compile(std::string(100000, 'a'), "test"));
  EXPECT_FALSE(Regex::compile(std::string(10000, '('), "test"));
  EXPECT_FALSE(Regex::compile(std::string(10000, '['), "test"));
}

TEST(Regex, StopsExponentialSearches) {
  const Regex regex = compile_or_fail("(?:a+)+b|(?:a|aa)+c");
  std::vector<uint8_t> symbols;
  std::vector<TextSpan> spans;
  const Status status = regex.find_all(std::string(5000, 'a'), symbols, spans);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kLimit);
}

TEST(Regex, MatchesFarApartAreFound) {
  const Regex regex = compile_or_fail("x(?<=ax)");
  const std::string gap(10000, 'b');
  EXPECT_EQ(matches_of(regex, gap + "ax" + gap + "x" + gap + "ax").size(), 2u);
}

TEST(Regex, MoreKindsOfCharactersThanSymbolsIsAnError) {
  std::string expression;
  for (int c = 0; c < 300; ++c) {
    if (c > 0) expression += '|';
    expression += R"(\x{)" + std::string(1, "0123456789abcdef"[c / 256]) +
                  std::string(1, "0123456789abcdef"[c / 16 % 16]) +
                  std::string(1, "0123456789abcdef"[c % 16]) + "}";
  }
  const auto regex = Regex::compile(expression, "test");
  ASSERT_FALSE(regex);
  EXPECT_EQ(regex.error().code, ErrorCode::kUnsupported);
}

}  // namespace
}  // namespace nibble
