// Ids and texts against the reference library: the cases in the tree, and where it is present the
// larger golden set with a vocabulary of full size.
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <cstring>
#include <memory>

#include "core/bytes.h"
#include "tokenizer/stream_decoder.h"
#include "tokenizer/testing/test_files.h"
#include "tokenizer/unicode/utf8.h"

namespace nibble {
namespace {

using test::Ids;

void check_strings(const Tokenizer& tokenizer, const std::vector<Json>& rows,
                   const std::string& ids_key, bool has_all_special = true) {
  for (const Json& row : rows) {
    const auto text = row["text"].get<std::string>();
    const auto expected = row[ids_key].get<Ids>();
    EXPECT_EQ(test::encode_or_fail(tokenizer, text), expected) << row["text"].dump();
    EXPECT_EQ(tokenizer.decode(expected), row["decoded"].get<std::string>());
    if (!has_all_special) continue;
    EXPECT_EQ(tokenizer.decode(expected, {.skip_special = true}),
              row.value("decoded_skip_special", row["decoded"].get<std::string>()));
  }
}

bool ends_with_whole_character(const Tokenizer& tokenizer, int32_t id) {
  std::string text;
  const std::string_view bytes = tokenizer.token_bytes(id);
  return append_lossy_utf8(text, bytes, false) == bytes.size();
}

void check_decoding(const Tokenizer& tokenizer, const std::string& name,
                    const std::vector<Json>& rows) {
  int n_checked = 0;
  for (const Json& row : rows) {
    if (row["tokenizer"] != name) continue;
    const auto ids = row["ids"].get<Ids>();
    EXPECT_EQ(tokenizer.decode(ids), row["decoded"].get<std::string>());
    EXPECT_EQ(tokenizer.decode(ids, {.skip_special = true}),
              row["decoded_skip_special"].get<std::string>());
    ++n_checked;
  }
  EXPECT_GT(n_checked, 0) << name;
}

// Whenever the library gives out a piece, exactly the same text has been given out here. In between
// this decoder may be ahead: the library holds a token back whole if it ends inside a character,
// and cannot tell a real U+FFFD from a broken character.
void check_streams(const Tokenizer& tokenizer, const std::string& name,
                   const std::vector<Json>& rows) {
  int n_checked = 0;
  for (const Json& row : rows) {
    if (row["tokenizer"] != name) continue;
    const DecodeOptions options{.skip_special = row["skip_special_tokens"].get<bool>()};
    const auto ids = row["ids"].get<Ids>();
    StreamDecoder decoder(tokenizer, options);
    std::string streamed;
    std::string expected;
    for (size_t i = 0; i < ids.size(); ++i) {
      streamed += decoder.push(ids[i]);
      EXPECT_EQ(valid_utf8_prefix(streamed), streamed.size());
      const Json& piece = row["pieces"][i];
      if (piece.is_null()) continue;
      expected += piece.get<std::string>();
      EXPECT_TRUE(streamed.starts_with(expected)) << row["text"].dump();
      if (ends_with_whole_character(tokenizer, ids[i])) {
        EXPECT_EQ(streamed, expected);
      }
    }
    streamed += decoder.flush();
    EXPECT_EQ(streamed, tokenizer.decode(ids, options));
    ++n_checked;
  }
  EXPECT_GT(n_checked, 0) << name;
}

TEST(NanoTokenizer, MatchesTheReference) {
  const Tokenizer tokenizer = test::nano_tokenizer();
  const auto path = [](const std::string& name) {
    return test::source_path("tests/data/tokenizer/" + name);
  };
  check_strings(tokenizer, test::read_json_lines(path("nano_strings.jsonl")), "ids");
  check_decoding(tokenizer, "nano", test::read_json_lines(path("nano_decode.jsonl")));
  check_streams(tokenizer, "nano", test::read_json_lines(path("nano_stream.jsonl")));
}

// A file of the golden set through "xz -dc"; empty if there is no xz.
std::string decompress(const std::string& path) {
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(
      ::popen(("xz -dc '" + path + "' 2>/dev/null").c_str(), "r"), ::pclose);
  std::string out;
  std::array<char, 65536> buffer;
  for (size_t n = 0; pipe && (n = std::fread(buffer.data(), 1, buffer.size(), pipe.get())) > 0;) {
    out.append(buffer.data(), n);
  }
  return out;
}

// The U32 vector `name` of a small safetensors file.
Ids read_ids(const std::string& safetensors, const std::string& name) {
  const auto n_header_bytes = load_le<uint64_t>(safetensors.data());
  const auto header = parse_json(std::string_view(safetensors).substr(8, n_header_bytes), name);
  const auto offsets = (*header)[name]["data_offsets"].get<std::vector<size_t>>();
  Ids ids((offsets[1] - offsets[0]) / sizeof(int32_t));
  std::memcpy(ids.data(), safetensors.data() + 8 + n_header_bytes + offsets[0],
              offsets[1] - offsets[0]);
  return ids;
}

class GoldenTokenizer : public testing::TestWithParam<const char*> {
 protected:
  // The tokenizer that the parameter names; the larger one has two variants of its expression.
  static std::string definition(const std::string& folder) {
    const std::string name = GetParam();
    if (name == "nano") return test::read_text(test::source_path("models/nano/tokenizer.json"));
    const std::string text =
        decompress(test::golden_path("tokenizers") + "/qwen3-tokenizer.json.xz");
    if (name == "qwen3" || text.empty()) return text;
    auto json = parse_sorted_json(text, name);
    const auto meta = parse_json(test::read_text(folder + "/meta.json"), "meta.json");
    (*json)["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] =
        (*meta)["regex_qwen3_5"].get<std::string>();
    return json->dump();
  }
};

TEST_P(GoldenTokenizer, MatchesTheReference) {
  const std::string folder = test::golden_path("tokenizer");
  REQUIRE_GOLDEN(folder);
  const std::string json = definition(folder);
  if (json.empty()) GTEST_SKIP() << "xz is not installed";
  const Tokenizer tokenizer = test::make_tokenizer(json);
  const std::string name = GetParam();
  // Texts without special tokens are recorded for nano, which has more of those than the others.
  check_strings(tokenizer, test::read_json_lines(folder + "/strings.jsonl"), name, name == "nano");
  if (name != "qwen3_rx35") {
    check_decoding(tokenizer, name, test::read_json_lines(folder + "/decode.jsonl"));
    check_streams(tokenizer, name, test::read_json_lines(folder + "/stream.jsonl"));
  }
  const std::string mixed = decompress(folder + "/mixed.txt.xz");
  if (mixed.empty()) GTEST_SKIP() << "xz is not installed";
  const Ids expected = read_ids(decompress(folder + "/mixed_ids.safetensors.xz"), name);
  const Ids ids = test::encode_or_fail(tokenizer, mixed);
  ASSERT_EQ(ids.size(), expected.size());
  EXPECT_TRUE(ids == expected);
}

INSTANTIATE_TEST_SUITE_P(All, GoldenTokenizer, testing::Values("nano", "qwen3", "qwen3_rx35"));

}  // namespace
}  // namespace nibble
