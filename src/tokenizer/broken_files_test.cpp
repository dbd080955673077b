// Every way in which a tokenizer.json can be unusable gives one clear error.
#include <gtest/gtest.h>

#include <functional>
#include <set>

#include "tokenizer/testing/test_files.h"
#include "tokenizer/tokenizer_config.h"

namespace nibble {
namespace {

class BrokenFiles : public testing::Test {
 protected:
  void SetUp() override {
    text_ = test::read_text(test::source_path("tests/data/tokenizer/micro_tokenizer.json"));
    json_ = *parse_sorted_json(text_, "micro");
  }

  // Loads the file after a change and expects an error whose message has `words`.
  void expect_error(ErrorCode code, const std::string& words,
                    const std::function<void(SortedJson&)>& change) {
    SortedJson json = json_;
    change(json);
    const auto tokenizer = Tokenizer::from_json(json.dump(), "tokenizer.json");
    ASSERT_FALSE(tokenizer) << words;
    EXPECT_EQ(tokenizer.error().code, code) << tokenizer.error().to_string();
    EXPECT_NE(tokenizer.error().message.find(words), std::string::npos)
        << tokenizer.error().message;
    EXPECT_EQ(tokenizer.error().subject, "tokenizer.json");
    EXPECT_LT(tokenizer.error().message.size(), 1000u);
  }

  std::string text_;
  SortedJson json_;
};

TEST_F(BrokenFiles, TheFileItselfIsFine) { EXPECT_TRUE(Tokenizer::from_json(text_, "micro")); }

TEST_F(BrokenFiles, TruncatedAnywhere) {
  for (size_t n = 0; n + 2 < text_.size(); n += 97) {
    EXPECT_FALSE(Tokenizer::from_json(std::string_view(text_).substr(0, n), "cut")) << n;
  }
}

TEST_F(BrokenFiles, NotAnObject) {
  for (const char* const text : {"", "[]", "1", "\"x\"", "null", "{}", "{\"model\":3}"}) {
    EXPECT_FALSE(Tokenizer::from_json(text, "other")) << text;
  }
}

TEST_F(BrokenFiles, EveryFieldOfAWrongType) {
  // Walks the whole document and puts something else in every place; no load may crash, and none
  // may succeed where the place matters to the model.
  const std::vector<SortedJson> others = {
      nullptr, -1, 1.5, 4294967296, "x", SortedJson::array(), SortedJson::object(), true};
  const SortedJson flat = json_.flatten();
  int n_places = 0;
  std::set<std::string> seen;
  for (auto place = flat.begin(); place != flat.end(); ++place) {
    if (place.key().starts_with("/model/vocab/") && ++n_places % 64 != 0) continue;
    SortedJson::json_pointer pointer(place.key());
    for (; !pointer.empty() && seen.insert(pointer.to_string()).second;
         pointer = pointer.parent_pointer()) {
      for (const SortedJson& other : others) {
        SortedJson json = json_;
        json[pointer] = other;
        const auto tokenizer = Tokenizer::from_json(json.dump(), "changed");
        if (tokenizer) {
          EXPECT_TRUE(tokenizer->encode("a <|im_end|>"));
        }
      }
    }
  }
}

TEST_F(BrokenFiles, Ids) {
  const auto set_id = [](SortedJson id) {
    return [id](SortedJson& json) { json["model"]["vocab"]["a"] = id; };
  };
  for (const SortedJson& id : {SortedJson(-1), SortedJson(256), SortedJson(2147483648),
                               SortedJson(1.5), SortedJson("64"), SortedJson(nullptr)}) {
    expect_error(ErrorCode::kCorrupt, "must have the ids 0 to 255", set_id(id));
  }
  expect_error(ErrorCode::kCorrupt, "both have the id 5", set_id(5));
  expect_error(ErrorCode::kCorrupt, "ids 0 to 254",
               [](SortedJson& json) { json["model"]["vocab"].erase("a"); });
  expect_error(ErrorCode::kCorrupt, "not empty",
               [](SortedJson& json) { json["model"]["vocab"] = SortedJson::object(); });
}

TEST_F(BrokenFiles, LongTokens) {
  expect_error(ErrorCode::kLimit, "1000000 bytes",
               [](SortedJson& json) { json["model"]["vocab"][std::string(1000000, 'a')] = 256; });
  expect_error(ErrorCode::kLimit, "1000000 bytes", [](SortedJson& json) {
    json["added_tokens"][0]["content"] = std::string(1000000, 'a');
  });
}

TEST_F(BrokenFiles, Merges) {
  const auto set_merge = [](SortedJson merge) {
    return [merge](SortedJson& json) { json["model"]["merges"] = SortedJson::array({merge}); };
  };
  expect_error(ErrorCode::kCorrupt, "names \"zz\"", set_merge("a zz"));
  expect_error(ErrorCode::kCorrupt, "names \"ab\"", set_merge({"a", "b"}));
  expect_error(ErrorCode::kCorrupt, "names \"\"", set_merge(" a"));
  for (const SortedJson& merge :
       {SortedJson("ab"), SortedJson("a b c"), SortedJson(""), SortedJson(1),
        SortedJson({"a", "b", "c"}), SortedJson::array(), SortedJson({"a", 1})}) {
    expect_error(ErrorCode::kCorrupt, "merge 0 must be", set_merge(merge));
  }
  expect_error(ErrorCode::kCorrupt, "missing",
               [](SortedJson& json) { json["model"].erase("merges"); });
}

TEST_F(BrokenFiles, AddedTokens) {
  const auto set_first = [](const char* key, SortedJson value) {
    return [=](SortedJson& json) { json["added_tokens"][0][key] = value; };
  };
  expect_error(ErrorCode::kCorrupt, "has the id 300", set_first("id", 300));
  expect_error(ErrorCode::kCorrupt, "has the id 5", set_first("id", 5));
  expect_error(ErrorCode::kCorrupt, "whole number", set_first("id", 2147483648));
  expect_error(ErrorCode::kCorrupt, "empty", set_first("content", ""));
  expect_error(ErrorCode::kCorrupt, "must be a string", set_first("content", 1));
  expect_error(ErrorCode::kCorrupt, "true or false", set_first("special", "yes"));
  expect_error(ErrorCode::kCorrupt, "added_tokens[1]",
               [](SortedJson& json) { json["added_tokens"][1] = "<|im_start|>"; });
  expect_error(ErrorCode::kCorrupt, "has the id 257",
               [](SortedJson& json) { json["added_tokens"][1]["content"] = "<|endoftext|>"; });
}

TEST_F(BrokenFiles, StagesThatAreNotSupported) {
  const auto set_type = [](const char* stage, const char* type) {
    return [=](SortedJson& json) { json[stage] = {{"type", type}}; };
  };
  expect_error(ErrorCode::kUnsupported, "normalizer \"Lowercase\"",
               set_type("normalizer", "Lowercase"));
  expect_error(ErrorCode::kUnsupported, "pre-tokenizer \"Metaspace\"",
               set_type("pre_tokenizer", "Metaspace"));
  expect_error(ErrorCode::kUnsupported, "post-processor \"BertProcessing\"",
               set_type("post_processor", "BertProcessing"));
  expect_error(ErrorCode::kUnsupported, "decoder \"WordPiece\"", set_type("decoder", "WordPiece"));
  expect_error(ErrorCode::kUnsupported, "no pre-tokenizer \"ByteLevel\"",
               [](SortedJson& json) { json["pre_tokenizer"] = nullptr; });
  expect_error(ErrorCode::kUnsupported, "model type \"Unigram\"",
               [](SortedJson& json) { json["model"]["type"] = "Unigram"; });
  expect_error(ErrorCode::kUnsupported, "dropout",
               [](SortedJson& json) { json["model"]["dropout"] = 0.1; });
  expect_error(ErrorCode::kUnsupported, "continuing_subword_prefix",
               [](SortedJson& json) { json["model"]["continuing_subword_prefix"] = "##"; });
}

TEST_F(BrokenFiles, ExpressionsThatDoNotCompile) {
  const auto set_expression = [](const char* expression) {
    return [=](SortedJson& json) {
      json["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = expression;
    };
  };
  expect_error(ErrorCode::kCorrupt, "is broken at byte", set_expression("(a"));
  expect_error(ErrorCode::kCorrupt, "does not compile", set_expression("(?<=a+)b"));
  expect_error(ErrorCode::kUnsupported, "\\p{Han}", [](SortedJson& json) {
    json["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "\\p{Han}";
  });
}

TEST_F(BrokenFiles, NestedSequences) {
  expect_error(ErrorCode::kLimit, "nested deeper", [](SortedJson& json) {
    SortedJson nested = {{"type", "NFC"}};
    for (int i = 0; i < 20; ++i) {
      nested = {{"type", "Sequence"}, {"normalizers", SortedJson::array({nested})}};
    }
    json["normalizer"] = nested;
  });
}

TEST(TokenizerConfig, ReadsTokensInBothForms) {
  const auto config = parse_tokenizer_config(
      R"({"eos_token": "<|im_end|>", "pad_token": {"content": "<pad>", "lstrip": false},
          "bos_token": null, "add_bos_token": true, "other": 1})",
      "tokenizer_config.json");
  ASSERT_TRUE(config) << config.error().to_string();
  EXPECT_EQ(config->eos_token, "<|im_end|>");
  EXPECT_EQ(config->pad_token, "<pad>");
  EXPECT_FALSE(config->bos_token);
  EXPECT_TRUE(config->add_bos_token);
  for (const char* const text :
       {"[]", "{\"eos_token\": 1}", "{\"eos_token\": {}}", "{\"add_bos_token\": 1}", "{"}) {
    const auto broken = parse_tokenizer_config(text, "tokenizer_config.json");
    ASSERT_FALSE(broken) << text;
    EXPECT_EQ(broken.error().code, ErrorCode::kCorrupt);
  }
}

}  // namespace
}  // namespace nibble
