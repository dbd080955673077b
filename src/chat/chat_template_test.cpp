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

}  // namespace
}  // namespace nibble
