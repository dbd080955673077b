#include "chat/chat_template.h"

#include "engine/engine.h"

namespace nibble {
namespace {

/// Tokens stand as texts or as objects with "content"; null means none.
Json special_tokens_of(const Json& tokenizer_config) {
  Json tokens = Json::object();
  if (!tokenizer_config.is_object()) return tokens;
  for (const char* key : {"bos_token", "eos_token", "unk_token", "sep_token", "pad_token",
                          "cls_token", "mask_token"}) {
    const auto found = tokenizer_config.find(key);
    if (found == tokenizer_config.end()) continue;
    if (found->is_string()) tokens[key] = *found;
    if (found->is_object() && found->contains("content")) tokens[key] = found->at("content");
  }
  return tokens;
}

}  // namespace

Result<ChatTemplate> ChatTemplate::create(std::string_view text, std::string_view subject,
                                          const Json& tokenizer_config) {
  ASSIGN_OR_RETURN(Template compiled, Template::parse(text, subject));
  return ChatTemplate(std::move(compiled), special_tokens_of(tokenizer_config));
}

Result<ChatTemplate> ChatTemplate::of_model(const Engine& engine) {
  if (!engine.chat_template()) {
    return Error(ErrorCode::kNotFound,
                 "the model has no chat template (chat_template.jinja, or one in "
                 "tokenizer_config.json): it can continue texts but not hold a conversation",
                 engine.checkpoint().folder());
  }
  return create(*engine.chat_template(), "chat template of " + engine.checkpoint().folder(),
                engine.tokenizer_config());
}

Result<std::string> ChatTemplate::render(const Json& messages,
                                         const ChatVariables& variables) const {
  Json context = special_tokens_;
  context["messages"] = messages;
  context["tools"] = variables.tools;
  context["documents"] = nullptr;
  context["add_generation_prompt"] = variables.add_generation_prompt;
  for (const auto& [key, value] : variables.extra.items()) context[key] = value;
  return template_.render(context);
}

std::string template_in_tokenizer_config(const Json& tokenizer_config) {
  if (!tokenizer_config.is_object()) return {};
  const auto found = tokenizer_config.find("chat_template");
  if (found == tokenizer_config.end()) return {};
  if (found->is_string()) return found->get<std::string>();
  if (!found->is_array()) return {};
  for (const Json& entry : *found) {
    if (!entry.is_object()) continue;
    const auto name = entry.find("name");
    const auto text = entry.find("template");
    const bool is_default = name != entry.end() && *name == "default";
    if (is_default && text != entry.end() && text->is_string()) return text->get<std::string>();
  }
  return {};
}

}  // namespace nibble
