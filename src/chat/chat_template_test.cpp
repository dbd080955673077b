#include "chat/chat_template.h"

#include <gtest/gtest.h>

namespace nibble {
namespace {

TEST(ChatTemplate, GivesTheVariablesThatTemplatesExpect) {
  const Json config = {
      {"eos_token", "<end>"}, {"pad_token", {{"content", "<pad>"}}}, {"bos_token", nullptr}};
  const auto chat_template = ChatTemplate::create(
      "{{ messages[0].content }}{{ eos_token }}{{ pad_token }}"
      "{{ '!' if bos_token is undefined }}{{ '!' if tools is none }}"
      "{{ '!' if documents is none }}{{ add_generation_prompt }}{{ extra }}",
      "test", config);
  ASSERT_TRUE(chat_template) << chat_template.error().to_string();
  ChatVariables variables;
  variables.extra["extra"] = 7;
  const Json messages = Json::array({{{"role", "user"}, {"content", "Hi"}}});
  const auto text = chat_template->render(messages, variables);
  ASSERT_TRUE(text) << text.error().to_string();
  EXPECT_EQ(*text, "Hi<end><pad>!!!True7");
}

TEST(ChatTemplate, OlderCheckpointsKeepItInTokenizerConfig) {
  EXPECT_EQ(template_in_tokenizer_config({{"chat_template", "text"}}), "text");
  const Json several = {{"chat_template", Json::array({{{"name", "tool_use"}, {"template", "a"}},
                                                       {{"name", "default"}, {"template", "b"}}})}};
  EXPECT_EQ(template_in_tokenizer_config(several), "b");
  EXPECT_EQ(template_in_tokenizer_config(Json::object()), "");
  EXPECT_EQ(template_in_tokenizer_config(Json::array()), "");
  EXPECT_EQ(template_in_tokenizer_config({{"chat_template", 5}}), "");
}

TEST(ChatTemplate, ToolsPromptAndExtraVariablesReachTheTemplate) {
  const auto chat_template = ChatTemplate::create(
      "{{ tools | length }}{{ tools[0].name }}{{ add_generation_prompt }}{{ eos_token }}"
      "{{ messages | length }}",
      "test", {{"eos_token", "<end>"}});
  ASSERT_TRUE(chat_template) << chat_template.error().to_string();
  ChatVariables variables;
  variables.tools = Json::array({{{"name", "f"}}});
  variables.add_generation_prompt = false;
  const Json messages = Json::array({{{"role", "user"}}, {{"role", "assistant"}}});
  EXPECT_EQ(chat_template->render(messages, variables).value(), "1fFalse<end>2");
  variables.extra = {{"eos_token", "!"}, {"add_generation_prompt", true}};
  EXPECT_EQ(chat_template->render(messages, variables).value(), "1fTrue!2");
}

TEST(ChatTemplate, OddConfigurationsGiveNoSpecialTokens) {
  const Json configs[] = {Json(),
                          Json::array(),
                          7,
                          {{"eos_token", 5}},
                          {{"eos_token", {1}}},
                          {{"eos_token", {{"text", "x"}}}}};
  for (const Json& config : configs) {
    const auto chat_template = ChatTemplate::create("{{ eos_token is defined }}", "test", config);
    ASSERT_TRUE(chat_template) << chat_template.error().to_string();
    EXPECT_EQ(chat_template->render(Json::array()).value(), "False") << config.dump();
  }
}

TEST(ChatTemplate, ErrorsNameTheTemplateAndThePlace) {
  const auto broken = ChatTemplate::create("{% for %}", "my.jinja", Json::object());
  ASSERT_FALSE(broken);
  EXPECT_EQ(broken.error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(broken.error().subject, "my.jinja");
  const auto picky = ChatTemplate::create(
      "{% if not messages %}{{ raise_exception('No messages') }}{% endif %}", "my.jinja", {});
  ASSERT_TRUE(picky) << picky.error().to_string();
  const auto refused = picky->render(Json::array());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
  EXPECT_TRUE(refused.error().message.ends_with(": No messages")) << refused.error().message;
}

}  // namespace
}  // namespace nibble
