// The whole way from a folder to tokens and scores, on the bundled model.
#include "engine/engine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <filesystem>

#include "backend/cpu_backend.h"
#include "checkpoint/tensor_file.h"
#include "core/cancel.h"
#include "core/file.h"
#include "engine/logits_file.h"
#include "tests/test_data.h"

namespace nibble {
namespace {

std::unique_ptr<Engine> open_nano(const EngineOptions& options = {}) {
  auto engine = Engine::open(test::source_path("models/nano"), options);
  EXPECT_TRUE(engine.has_value()) << engine.error().to_string();
  return engine ? std::move(engine).value() : nullptr;
}

// A folder with the bundled model's files by link; files to be changed must be removed first.
void link_nano(const test::TemporaryFolder& folder) {
  for (const auto& entry : std::filesystem::directory_iterator(test::source_path("models/nano"))) {
    std::filesystem::create_symlink(entry.path(), folder.path(entry.path().filename().string()));
  }
}

class EngineTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { engine_ = open_nano().release(); }
  static void TearDownTestSuite() { delete engine_; }
  void SetUp() override { ASSERT_NE(engine_, nullptr); }

  static std::vector<int32_t> prompt() {
    return engine_->tokenizer()
        .encode(
            "<|im_start|>user\n864 plus 790 equals what?<|im_end|>\n"
            "<|im_start|>assistant\n<think>\n")
        .value();
  }

  static Engine* engine_;
};
Engine* EngineTest::engine_ = nullptr;

TEST_F(EngineTest, OpensTheBundledModel) {
  EXPECT_EQ(engine_->config().n_layers, 8);
  EXPECT_EQ(std::vector<int32_t>(engine_->stop_tokens().begin(), engine_->stop_tokens().end()),
            (std::vector<int32_t>{8000, 8002}));
  EXPECT_FLOAT_EQ(engine_->default_sampling().temperature, 0.6f);
  EXPECT_EQ(engine_->default_sampling().top_k, 20);
  EXPECT_TRUE(engine_->chat_template().has_value());
  EXPECT_EQ(engine_->tokenizer_config().at("eos_token"), "<|im_end|>");
  EXPECT_NE(engine_->backend_description().find("cpu"), std::string::npos);
  EXPECT_EQ(engine_->checkpoint().dialect(), "hf");
}

TEST_F(EngineTest, AnswersAQuestion) {
  GenerationParams params;
  params.max_new_tokens = 300;
  std::vector<int32_t> seen;
  const auto result = engine_->generate(prompt(), params, [&](int32_t token) {
    seen.push_back(token);
    return true;
  });
  ASSERT_TRUE(result.has_value()) << result.error().to_string();
  EXPECT_EQ(result->finish, FinishReason::kStop);
  EXPECT_EQ(result->n_prompt_tokens, prompt().size());
  EXPECT_EQ(result->tokens, seen);
  const std::string answer = engine_->tokenizer().decode(result->tokens);
  EXPECT_NE(answer.find("</think>"), std::string::npos) << answer;
  EXPECT_NE(answer.find("1654"), std::string::npos) << answer;
  EXPECT_EQ(answer.find("<|im_end|>"), std::string::npos);
}

TEST_F(EngineTest, StopsAtTheLimit) {
  GenerationParams params;
  params.max_new_tokens = 5;
  const auto five = engine_->generate(prompt(), params);
  EXPECT_EQ(five->tokens, (std::vector<int32_t>{1832, 422, 260, 781, 455}));
  EXPECT_EQ(five->finish, FinishReason::kLength);
  params.max_new_tokens = 0;
  const auto none = engine_->generate(prompt(), params);
  EXPECT_TRUE(none->tokens.empty());
  EXPECT_EQ(none->finish, FinishReason::kLength);
}

TEST_F(EngineTest, RunsPastStopTokensIfToldTo) {
  GenerationParams params;
  params.max_new_tokens = 150;
  params.ignore_stop_tokens = true;
  const auto result = engine_->generate(prompt(), params);
  EXPECT_EQ(result->tokens.size(), 150u);
  EXPECT_NE(std::find(result->tokens.begin(), result->tokens.end(), 8002), result->tokens.end());
}

TEST_F(EngineTest, SamplesTheSameTokensBySeed) {
  GenerationParams params;
  params.max_new_tokens = 40;
  params.sampling = engine_->default_sampling();
  params.sampling.temperature = 1.5f;
  params.sampling.top_k = 0;
  params.sampling.seed = 7;
  params.ignore_stop_tokens = true;
  const auto open_end = engine_->tokenizer().encode("She looked at him and").value();
  const auto first = engine_->generate(open_end, params)->tokens;
  EXPECT_EQ(engine_->generate(open_end, params)->tokens, first);
  params.sampling.seed = 8;
  EXPECT_NE(engine_->generate(open_end, params)->tokens, first);
}

TEST_F(EngineTest, CanBeStoppedByTheSinkAndBySignals) {
  GenerationParams params;
  int n_seen = 0;
  const auto stopped = engine_->generate(prompt(), params, [&](int32_t) { return ++n_seen < 3; });
  EXPECT_EQ(stopped->finish, FinishReason::kCancelled);
  EXPECT_EQ(stopped->tokens.size(), 3u);
  const auto interrupted = engine_->generate(prompt(), params, [&](int32_t) {
    request_cancel(SIGINT);
    return true;
  });
  EXPECT_EQ(interrupted->finish, FinishReason::kCancelled);
  EXPECT_EQ(interrupted->tokens.size(), 1u);
  const auto before = engine_->generate(prompt(), params);
  clear_cancel();
  EXPECT_EQ(before->finish, FinishReason::kCancelled);
  EXPECT_TRUE(before->tokens.empty());
}

TEST_F(EngineTest, RefusesImpossibleRequests) {
  const std::vector<int32_t> foreign = {8192};
  const std::vector<int32_t> too_long(32769, 5);
  GenerationParams params;
  for (const auto& tokens : {std::vector<int32_t>(), foreign, too_long}) {
    const auto result = engine_->generate(tokens, params);
    ASSERT_FALSE(result.has_value());
    EXPECT_EQ(result.error().code, ErrorCode::kInvalidArgument);
  }
  params.sampling.top_p = 2.0f;
  EXPECT_EQ(engine_->generate(prompt(), params).error().code, ErrorCode::kInvalidArgument);
  const auto ignore = [](size_t, std::span<const float>) { return Status(); };
  EXPECT_FALSE(engine_->score({}, 0, ignore).has_value());
  EXPECT_FALSE(engine_->score(foreign, 0, ignore).has_value());
}

TEST_F(EngineTest, ScoresFromThePositionThatIsAskedFor) {
  const auto tokens = prompt();
  std::vector<std::vector<float>> all;
  ASSERT_TRUE(engine_
                  ->score(tokens, 0,
                          [&](size_t position, std::span<const float> logits) {
                            EXPECT_EQ(position, all.size());
                            all.emplace_back(logits.begin(), logits.end());
                            return Status();
                          })
                  .has_value());
  ASSERT_EQ(all.size(), tokens.size());
  size_t expected = 15;
  ASSERT_TRUE(engine_
                  ->score(tokens, expected,
                          [&](size_t position, std::span<const float> logits) {
                            EXPECT_EQ(position, expected++);
                            EXPECT_NEAR(logits[100], all[position][100], 1e-4);
                            return Status();
                          })
                  .has_value());
  EXPECT_EQ(expected, tokens.size());
  const Status stopped = engine_->score(tokens, 0, [](size_t, std::span<const float>) -> Status {
    return Error(ErrorCode::kLimit, "enough");
  });
  EXPECT_EQ(stopped.error().message, "enough");
}

// The first eight windows of the held-out text, the second half of each scored.
TEST_F(EngineTest, HasThePerplexityOfTheReference) {
  const std::string text =
      read_file(test::source_path("data/heldout.txt")).value().substr(0, 600'000);
  const auto tokens = engine_->tokenizer().encode(text).value();
  EXPECT_EQ(tokens.size(), 144'457u);
  constexpr size_t kWindow = 512;
  double sum = 0.0;
  size_t n = 0;
  for (size_t w = 0; w < 8; ++w) {
    const auto window = std::span(tokens).subspan(w * kWindow, kWindow);
    const Status status =
        engine_->score(window, kWindow / 2, [&](size_t position, std::span<const float> logits) {
          if (position + 1 == kWindow) return Status();
          const double greatest = *std::max_element(logits.begin(), logits.end());
          double total = 0.0;
          for (const float logit : logits) total += std::exp(static_cast<double>(logit) - greatest);
          sum += std::log(total) + greatest -
                 static_cast<double>(logits[static_cast<size_t>(window[position + 1])]);
          ++n;
          return Status();
        });
    ASSERT_TRUE(status.has_value());
  }
  EXPECT_EQ(n, 8u * 255u);
  EXPECT_NEAR(std::exp(sum / static_cast<double>(n)), 34.53872, 5e-4);
}

TEST_F(EngineTest, WritesLogitsToAFile) {
  const test::TemporaryFolder folder;
  const auto tokens = prompt();
  ASSERT_TRUE(write_logits_file(*engine_, tokens, folder.path("out.safetensors")).has_value());
  const auto file = TensorFile::open(folder.path("out.safetensors"));
  ASSERT_TRUE(file.has_value()) << file.error().to_string();
  const auto logits = file->find("logits");
  ASSERT_TRUE(logits.has_value());
  EXPECT_EQ(logits->dtype, DType::kF32);
  EXPECT_EQ(logits->shape, (Shape{tokens.size(), 8192}));
  std::vector<float> values(tokens.size() * 8192);
  ASSERT_TRUE(to_f32(*logits, values).has_value());
  EXPECT_EQ(std::max_element(values.end() - 8192, values.end()) - (values.end() - 8192), 1832);
  EXPECT_FALSE(write_logits_file(*engine_, tokens, folder.path("no/folder")).has_value());
  EXPECT_FALSE(write_logits_file(*engine_, {}, folder.path("empty")).has_value());
}

TEST(Engine, TellsAFullContextFromALimit) {
  const test::TemporaryFolder folder;
  link_nano(folder);
  Json config = read_json_file(folder.path("config.json")).value();
  config["text_config"]["max_position_embeddings"] = 24;
  std::filesystem::remove(folder.path("config.json"));
  ASSERT_TRUE(write_file_atomically(folder.path("config.json"), dump_json(config)).has_value());
  const auto engine = Engine::open(folder.path()).value();
  GenerationParams params;
  params.ignore_stop_tokens = true;
  const std::vector<int32_t> prompt(20, 260);
  const auto full = engine->generate(prompt, params);
  EXPECT_EQ(full->finish, FinishReason::kContextFull);
  EXPECT_EQ(full->tokens.size(), 5u);
  params.max_new_tokens = 4;
  EXPECT_EQ(engine->generate(prompt, params)->finish, FinishReason::kLength);
  const std::vector<int32_t> longest(24, 260);
  EXPECT_EQ(engine->generate(longest, params)->tokens.size(), 1u);
  const std::vector<int32_t> too_long(25, 260);
  EXPECT_FALSE(engine->generate(too_long, params).has_value());
}

// A prompt longer than a batch gives the same answer as one that fits.
TEST(Engine, CutsLongPromptsIntoBatches) {
  EngineOptions options;
  options.max_batch_rows = 7;
  const auto small = open_nano(options);
  const auto large = open_nano();
  ASSERT_TRUE(small && large);
  const auto prompt = large->tokenizer().encode("It is a truth universally acknowledged").value();
  ASSERT_GT(prompt.size(), 7u);
  GenerationParams params;
  params.max_new_tokens = 12;
  EXPECT_EQ(small->generate(prompt, params)->tokens, large->generate(prompt, params)->tokens);
}

TEST(Engine, OpensWithoutATokenizerOnlyIfToldTo) {
  const test::TemporaryFolder folder;
  link_nano(folder);
  std::filesystem::remove(folder.path("tokenizer.json"));
  const auto refused = Engine::open(folder.path());
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kNotFound);
  EngineOptions options;
  options.requires_tokenizer = false;
  const auto engine = Engine::open(folder.path(), options);
  ASSERT_TRUE(engine.has_value()) << engine.error().to_string();
  EXPECT_FALSE((*engine)->has_tokenizer());
  const std::vector<int32_t> prompt = {8001, 417};
  EXPECT_EQ((*engine)->generate(prompt, {})->n_prompt_tokens, 2u);
}

TEST(Engine, PassesErrorsOn) {
  EXPECT_EQ(Engine::open("/no/such/folder").error().code, ErrorCode::kNotFound);
  EngineOptions options;
  options.cpu_implementation = "abacus";
  EXPECT_EQ(Engine::open(test::source_path("models/nano"), options).error().code,
            ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace nibble
