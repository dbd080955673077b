// A model's chat template together with the variables that every rendering gets.
#pragma once

#include <string>
#include <string_view>

#include "chat/template.h"
#include "core/json.h"
#include "core/result.h"

namespace nibble {

class Engine;

/// What one rendering adds to the template's own variables.
struct ChatVariables {
  Json tools;  ///< a list, or null
  bool add_generation_prompt = true;
  Json extra = Json::object();  ///< more variables ("enable_thinking"); they win over all others
};

/// Turns messages into a prompt. Immutable; safe from several threads.
class ChatTemplate {
 public:
  /// Parses `text`; `tokenizer_config` is the content of tokenizer_config.json, whose special
  /// tokens
  /// ("eos_token", ...) templates may refer to. Errors: those of Template::parse.
  static Result<ChatTemplate> create(std::string_view text, std::string_view subject,
                                     const Json& tokenizer_config);

  /// The template of an opened model. Errors: kNotFound (it has none), those of create.
  static Result<ChatTemplate> of_model(const Engine& engine);

  /// The text that `messages`, a list of {"role", "content", ...}, make. The variables are those
  /// that the transformers library gives: messages, tools, documents (null), add_generation_prompt,
  /// the special tokens, and `variables.extra`. Errors: those of Template::render.
  Result<std::string> render(const Json& messages, const ChatVariables& variables = {}) const;

 private:
  ChatTemplate(Template compiled, Json special_tokens)
      : template_(std::move(compiled)), special_tokens_(std::move(special_tokens)) {}
  Template template_;
  Json special_tokens_;
};

/// The template that a tokenizer_config.json holds, as older checkpoints do: a text, or of several
/// the one named "default". Empty if there is none.
std::string template_in_tokenizer_config(const Json& tokenizer_config);

}  // namespace nibble
