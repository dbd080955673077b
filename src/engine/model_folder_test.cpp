// The small files of a model folder: stop tokens, sampling defaults, templates, and broken ones.
#include "engine/model_folder.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "core/file.h"
#include "tests/test_data.h"

namespace nibble {
namespace {

class ModelFolderTest : public testing::Test {
 protected:
  ModelFolderTest() {
    config_.vocab_size = 8192;
    config_.eos_token_ids = {8000};
    copy("tokenizer.json");
  }
  void copy(const std::string& name) {
    ASSERT_TRUE(
        copy_file_bytes(test::source_path("models/nano/" + name), folder_.path(name)).has_value());
  }
  void write(const std::string& name, const std::string& content) {
    ASSERT_TRUE(write_file_atomically(folder_.path(name), content).has_value());
  }
  Result<ModelFolder> read(bool requires_tokenizer = true) {
    const auto side_file = [this](std::string_view name) {
      return read_file(folder_.path(std::string(name)));
    };
    return read_model_folder(side_file, folder_.path(), config_, requires_tokenizer);
  }

  test::TemporaryFolder folder_;
  ModelConfig config_;
};

TEST_F(ModelFolderTest, NeedsOnlyTheTokenizer) {
  const auto folder = read();
  ASSERT_TRUE(folder.has_value()) << folder.error().to_string();
  EXPECT_TRUE(folder->tokenizer.has_value());
  EXPECT_EQ(folder->tokenizer_config, Json::object());
  EXPECT_EQ(folder->chat_template, std::nullopt);
  EXPECT_EQ(folder->default_sampling.temperature, 0.0f);
  EXPECT_EQ(folder->stop_tokens, std::vector<int32_t>{8000});
}

TEST_F(ModelFolderTest, MayDoWithoutTheTokenizer) {
  std::filesystem::remove(folder_.path("tokenizer.json"));
  copy("tokenizer_config.json");
  const auto required = read();
  ASSERT_FALSE(required.has_value());
  EXPECT_EQ(required.error().code, ErrorCode::kNotFound);
  const auto folder = read(false);
  ASSERT_TRUE(folder.has_value());
  EXPECT_FALSE(folder->tokenizer.has_value());
}

TEST_F(ModelFolderTest, UnitesStopTokensOfAllFiles) {
  write("tokenizer_config.json", R"({"eos_token": "<|im_end|>"})");
  write("generation_config.json", R"({"eos_token_id": [17, 8000, 99999]})");
  EXPECT_EQ(read()->stop_tokens, (std::vector<int32_t>{17, 8000, 8002}));
  write("tokenizer_config.json", R"({"eos_token": {"content": "<|im_end|>"}})");
  write("generation_config.json", R"({"eos_token_id": 3})");
  EXPECT_EQ(read()->stop_tokens, (std::vector<int32_t>{3, 8000, 8002}));
  write("tokenizer_config.json", R"({"eos_token": "no such token"})");
  EXPECT_EQ(read()->stop_tokens, (std::vector<int32_t>{3, 8000}));
}

TEST_F(ModelFolderTest, FindsTheTemplate) {
  write("tokenizer_config.json", R"({"chat_template": "in config"})");
  EXPECT_EQ(read()->chat_template, "in config");
  write("tokenizer_config.json",
        R"({"chat_template": [{"name": "tool_use", "template": "a"},
                              {"name": "default", "template": "b"}, 5, {"name": "default"}]})");
  EXPECT_EQ(read()->chat_template, "b");
  write("chat_template.jinja", "in file");
  EXPECT_EQ(read()->chat_template, "in file");
}

TEST_F(ModelFolderTest, RefusesBrokenFiles) {
  const std::pair<const char*, const char*> cases[] = {
      {"generation_config.json", "{"},
      {"generation_config.json", "[]"},
      {"generation_config.json", R"({"temperature": "hot"})"},
      {"generation_config.json", R"({"temperature": -1})"},
      {"generation_config.json", R"({"temperature": 1e300})"},
      {"generation_config.json", R"({"top_p": 0})"},
      {"generation_config.json", R"({"top_k": 2.5})"},
      {"generation_config.json", R"({"do_sample": 1})"},
      {"generation_config.json", R"({"eos_token_id": "<|im_end|>"})"},
      {"tokenizer_config.json", "nonsense"},
      {"tokenizer_config.json", "5"},
  };
  for (const auto& [name, content] : cases) {
    SCOPED_TRACE(content);
    write(name, content);
    const auto folder = read();
    ASSERT_FALSE(folder.has_value());
    EXPECT_EQ(folder.error().code, ErrorCode::kCorrupt) << folder.error().to_string();
    EXPECT_EQ(folder.error().subject, folder_.path(name));
    std::filesystem::remove(folder_.path(name));
  }
}

SamplingParams sampling_of(const char* json) {
  return parse_generation_sampling(parse_json(json, "json").value(), "json").value();
}

TEST(GenerationSampling, ReadsTheFile) {
  const SamplingParams params = sampling_of(
      R"({"do_sample": true, "temperature": 0.6, "top_k": 20, "top_p": 0.95, "min_p": 0.05,
          "repetition_penalty": 1.1, "presence_penalty": 1.5})");
  EXPECT_FLOAT_EQ(params.temperature, 0.6f);
  EXPECT_EQ(params.top_k, 20);
  EXPECT_FLOAT_EQ(params.top_p, 0.95f);
  EXPECT_FLOAT_EQ(params.min_p, 0.05f);
  EXPECT_FLOAT_EQ(params.repetition_penalty, 1.1f);
  EXPECT_FLOAT_EQ(params.presence_penalty, 1.5f);
}

TEST(GenerationSampling, DecidesBetweenSamplingAndGreedy) {
  EXPECT_EQ(sampling_of("{}").temperature, 0.0f);
  EXPECT_EQ(sampling_of(R"({"do_sample": true})").temperature, 1.0f);
  EXPECT_EQ(sampling_of(R"({"do_sample": false, "temperature": 0.6})").temperature, 0.0f);
  EXPECT_FLOAT_EQ(sampling_of(R"({"temperature": 0.6})").temperature, 0.6f);
  EXPECT_FLOAT_EQ(sampling_of(R"({"do_sample": null, "temperature": 0.6})").temperature, 0.6f);
}

}  // namespace
}  // namespace nibble
