#include "chat/conversation.h"

#include <gtest/gtest.h>

#include <csignal>

#include "core/cancel.h"
#include "tests/test_data.h"

namespace nibble {
namespace {

class ConversationTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto engine = Engine::open(test::source_path("models/nano"));
    ASSERT_TRUE(engine) << engine.error().to_string();
    engine_ = std::move(*engine);
  }

  Conversation start(const ConversationOptions& options = {}) {
    auto conversation = Conversation::create(*engine_, options);
    EXPECT_TRUE(conversation) << (conversation ? "" : conversation.error().to_string());
    return std::move(*conversation);
  }

  std::unique_ptr<Engine> engine_;
};

TEST_F(ConversationTest, StreamsThinkingThenAnswer) {
  Conversation conversation = start();
  std::string reasoning;
  std::string content;
  const auto answer =
      conversation.ask("What is 12 plus 30?", [&](std::string_view text, bool is_reasoning) {
        EXPECT_TRUE(!is_reasoning || content.empty()) << "thinking after the answer";
        (is_reasoning ? reasoning : content) += text;
      });
  ASSERT_TRUE(answer) << answer.error().to_string();
  EXPECT_EQ(answer->finish, FinishReason::kStop);
  EXPECT_FALSE(answer->reasoning.empty());
  EXPECT_FALSE(answer->content.empty());
  EXPECT_EQ(answer->reasoning, reasoning);
  EXPECT_EQ(answer->content, content);
  EXPECT_EQ(content.find("think>"), std::string::npos);
  EXPECT_EQ(content.find("<|im_end|>"), std::string::npos);
}

TEST_F(ConversationTest, RemembersTurnsUntilReset) {
  ConversationOptions options;
  options.template_variables["enable_thinking"] = false;
  Conversation conversation = start(options);
  conversation.set_system("Be brief.");
  const auto first = conversation.ask("What is 1 plus 2?");
  ASSERT_TRUE(first) << first.error().to_string();
  EXPECT_TRUE(first->reasoning.empty());
  const auto second = conversation.ask("What is 3 plus 4?");
  ASSERT_TRUE(second) << second.error().to_string();
  EXPECT_GT(second->n_prompt_tokens, first->n_prompt_tokens);
  const Json messages = conversation.messages();
  ASSERT_EQ(messages.size(), 5u);
  EXPECT_EQ(messages[0]["role"], "system");
  EXPECT_EQ(messages[2]["content"], first->content);
  conversation.reset();
  EXPECT_EQ(conversation.messages().size(), 1u);
  conversation.set_system("");
  EXPECT_EQ(conversation.messages().size(), 0u);
}

TEST_F(ConversationTest, AStoppedAnswerIsKept) {
  Conversation conversation = start();
  const auto answer = conversation.ask("What is 12 plus 30?",
                                       [](std::string_view, bool) { request_cancel(SIGINT); });
  clear_cancel();
  ASSERT_TRUE(answer) << answer.error().to_string();
  EXPECT_EQ(answer->finish, FinishReason::kCancelled);
  EXPECT_FALSE(answer->reasoning.empty());
  EXPECT_EQ(conversation.messages().size(), 2u);
}

TEST_F(ConversationTest, ARefusedMessageIsTakenBack) {
  ConversationOptions options;
  options.template_variables["messages"] = "no list";
  Conversation conversation = start(options);
  EXPECT_FALSE(conversation.ask("Hi"));
  EXPECT_EQ(conversation.messages().size(), 0u);
}

TEST_F(ConversationTest, BadSamplingIsRefused) {
  ConversationOptions options;
  options.sampling.temperature = -1.0f;
  const auto conversation = Conversation::create(*engine_, options);
  ASSERT_FALSE(conversation);
  EXPECT_EQ(conversation.error().code, ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace nibble
