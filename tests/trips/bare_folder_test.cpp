// A folder of config.json and weights alone, of a mixture-of-experts member: everything that needs
// no text works, and what needs some says which file is missing.
#include <gtest/gtest.h>

#include <algorithm>

#include "core/json.h"
#include "tests/test_data.h"
#include "tests/trips/run_nibble.h"

namespace nibble::test {
namespace {

class BareFolder : public ::testing::Test {
 protected:
  std::string path(const std::string& name) const { return folder_.path(name); }
  static std::string source() { return source_path("tests/data/model/micro_moe"); }

  static void expect_done(const std::vector<std::string>& arguments) {
    const RunResult result = run_nibble(arguments);
    EXPECT_EQ(result.exit_code, 0) << arguments.front() << ": " << result.err;
  }

 private:
  TemporaryFolder folder_;
};

TEST_F(BareFolder, DoesAllThatNeedsNoText) {
  expect_done({"inspect", source()});
  expect_done({"quantize", source(), path("quantized")});
  expect_done({"verify", path("quantized"), "--source", source()});
  expect_done({"convert", path("quantized"), path("other"), "--to", "modelopt"});
  expect_done({"verify", path("other"), "--source", source()});
  expect_done({"convert", source(), path("model.gguf"), "--to", "gguf"});
  expect_done({"verify", path("model.gguf"), "--source", source()});
  for (const std::string& model : {path("quantized"), path("other"), path("model.gguf")}) {
    expect_done({"logits", model, "--ids", "1,2,3", "-o", path("logits.safetensors")});
  }
}

TEST_F(BareFolder, ContinuesTokenIds) {
  const std::vector<std::string> arguments = {
      "generate", source(), "--prompt-ids", "1, 2 3", "--ids", "-n", "6", "--temperature", "0"};
  const RunResult printed = run_nibble(arguments);
  ASSERT_EQ(printed.exit_code, 0) << printed.err;
  EXPECT_EQ(std::count(printed.out.begin(), printed.out.end(), ','), 5);
  auto with_json = arguments;
  with_json.push_back("--json");
  const RunResult result = run_nibble(with_json);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const Json json = Json::parse(result.out);
  EXPECT_EQ(json["prompt_ids"], Json({1, 2, 3}));
  EXPECT_EQ(json["ids"].size(), 6u);
  EXPECT_TRUE(json["text"].is_null());
}

TEST_F(BareFolder, NamesTheFileThatTextNeeds) {
  for (const auto& arguments :
       {std::vector<std::string>{"generate", source(), "--prompt", "a"},
        std::vector<std::string>{"generate", source(), "--prompt-ids", "1,2"},
        std::vector<std::string>{"tokenize", source(), "a"},
        std::vector<std::string>{"quantize", source(), path("out"), "--recipe", "portable"},
        std::vector<std::string>{"eval", source(), "--text", source_path("README.md")}}) {
    const RunResult result = run_nibble(arguments);
    EXPECT_EQ(result.exit_code, 3) << arguments.front() << ": " << result.err;
    EXPECT_NE(result.err.find("tokenizer.json"), std::string::npos) << result.err;
  }
}

TEST_F(BareFolder, TakesOnePrompt) {
  for (const auto& more : {std::vector<std::string>{},
                           {"--prompt", "a", "--prompt-ids", "1"},
                           {"--prompt-ids", "a"},
                           {"--prompt-ids", "1,272", "--ids"}}) {
    std::vector<std::string> arguments = {"generate", source()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    EXPECT_EQ(run_nibble(arguments).exit_code, 2);
  }
}

}  // namespace
}  // namespace nibble::test
