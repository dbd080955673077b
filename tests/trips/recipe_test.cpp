// Recipes from the outside: a user's own file, their own text, and what the program says of both.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "core/file.h"
#include "core/json.h"
#include "tests/test_data.h"
#include "tests/trips/run_nibble.h"

namespace nibble::test {
namespace {

using testing::HasSubstr;

class RecipeTrip : public testing::Test {
 protected:
  std::string write(const std::string& name, const std::string& content) const {
    EXPECT_TRUE(write_file_atomically(folder_.path(name), content).has_value());
    return folder_.path(name);
  }
  TemporaryFolder folder_;
};

TEST_F(RecipeTrip, CalibratesOnTheUsersOwnConversations) {
  const std::string recipe = write("mine.json", R"({"rules": [
      {"modules": ["layers.0.mlp", "layers.1.mlp"], "target": "nvfp4-w4a4"},
      {"roles": ["mlp output"], "target": "fp8-channel"}]})");
  const std::string text =
      write("chats.jsonl",
            "{\"messages\": [{\"role\": \"user\", \"content\": \"What is 7 + 5?\"}, "
            "{\"role\": \"assistant\", \"content\": \"12\"}]}\n");
  const std::string out = folder_.path("out");
  const RunResult made = run_nibble({"quantize", source_path("models/nano"), out, "--recipe",
                                     recipe, "--calibration", text, "--kv", "fp8", "--json"});
  ASSERT_EQ(made.exit_code, 0) << made.err;
  const Json report = Json::parse(made.out);
  EXPECT_EQ(report["n_quantized"], 12);
  EXPECT_GT(report["calibration_tokens"].get<int>(), 5);
  EXPECT_EQ(report["tensors"][0]["target"], "nvfp4-w4a4");
  const RunResult verified =
      run_nibble({"verify", out, "--source", source_path("models/nano"), "--json"});
  EXPECT_EQ(verified.exit_code, 0) << verified.out;
}

TEST_F(RecipeTrip, MistakesAreBadArguments) {
  const std::string recipe =
      write("mine.json", R"({"rules": [{"roles": ["mlp outptu"], "target": "fp8-channel"}]})");
  const std::string out = folder_.path("out");
  const auto error_of = [&](const std::vector<std::string>& options) {
    std::vector<std::string> words = {"quantize", source_path("models/nano"), out};
    words.insert(words.end(), options.begin(), options.end());
    const RunResult run = run_nibble(words);
    EXPECT_EQ(run.exit_code, 2) << run.err;
    return run.err;
  };
  EXPECT_THAT(error_of({"--recipe", recipe}), HasSubstr("did you mean \"mlp output\"?"));
  EXPECT_THAT(error_of({"--recipe", "portabel"}), HasSubstr("did you mean \"portable\"?"));
  EXPECT_THAT(error_of({"--recipe", folder_.path("none.json")}), HasSubstr("none.json"));
  EXPECT_THAT(error_of({"--recipe", "portable", "--calibration", folder_.path("none")}),
              HasSubstr("no such calibration text"));
  EXPECT_THAT(error_of({"--head", "int8"}), HasSubstr("bf16"));
  EXPECT_FALSE(std::filesystem::exists(out));
}

TEST_F(RecipeTrip, DryRunShowsTargets) {
  const RunResult run = run_nibble(
      {"quantize", source_path("models/nano"), "unused", "--recipe", "nvidia", "--dry-run"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_THAT(run.out, HasSubstr("fp8-tensor"));
  EXPECT_THAT(run.out, HasSubstr("nvfp4-w4a16"));
  EXPECT_THAT(run.out, HasSubstr("51 of 157 tensors"));
  EXPECT_THAT(run.out, HasSubstr("calibration text"));
}

}  // namespace
}  // namespace nibble::test
