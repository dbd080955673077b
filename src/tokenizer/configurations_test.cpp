// Tokenizers that differ from nano's in one stage each, against ids of the reference library.
#include <gtest/gtest.h>

#include "tokenizer/testing/test_files.h"

namespace nibble {
namespace {

using test::Ids;

// nano's file with some fields replaced; added tokens are appended to nano's.
std::string apply_changes(SortedJson base, const Json& changes) {
  for (auto change = changes.begin(); change != changes.end(); ++change) {
    const SortedJson value = SortedJson::parse(change.value().dump());
    if (change.key() != "added_tokens") {
      base[change.key()] = value;
      continue;
    }
    for (const SortedJson& token : value) base["added_tokens"].push_back(token);
  }
  return base.dump();
}

TEST(TokenizerStages, MatchTheReference) {
  const auto nano =
      parse_sorted_json(test::read_text(test::source_path("models/nano/tokenizer.json")), "nano");
  ASSERT_TRUE(nano);
  const auto rows =
      test::read_json_lines(test::source_path("tests/data/tokenizer/configurations.jsonl"));
  for (const Json& row : rows) {
    const auto name = row["name"].get<std::string>();
    const auto tokenizer = Tokenizer::from_json(apply_changes(*nano, row["changes"]), name);
    ASSERT_TRUE(tokenizer) << tokenizer.error().to_string();
    for (const Json& one : row["cases"]) {
      const auto text = one["text"].get<std::string>();
      const auto ids = one["ids"].get<Ids>();
      EXPECT_EQ(test::encode_or_fail(*tokenizer, text), ids) << name << ": " << one["text"].dump();
      EXPECT_EQ(test::encode_or_fail(*tokenizer, text, {.parse_special = false}),
                one.value("ids_plain", ids))
          << name << ": " << one["text"].dump();
      EXPECT_EQ(test::encode_or_fail(*tokenizer, text, {.add_special_tokens = true}),
                one.value("ids_with_special", ids));
      EXPECT_EQ(tokenizer->decode(ids), one.value("decoded", text));
    }
  }
}

}  // namespace
}  // namespace nibble
