// A conversation with a model: keeps the messages, renders them, streams the answer.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

#include "chat/chat_template.h"
#include "core/json.h"
#include "core/result.h"
#include "engine/engine.h"

namespace nibble {

struct ConversationOptions {
  SamplingParams sampling;
  size_t max_new_tokens = 2048;
  Json template_variables = Json::object();  ///< {"enable_thinking": false}
};

/// One answer.
struct Answer {
  std::string reasoning;  ///< the thinking, without its tags; may be empty
  std::string content;    ///< empty if the limit came before the end of the thinking
  FinishReason finish = FinishReason::kStop;
  size_t n_prompt_tokens = 0;
  size_t n_tokens = 0;
  double prefill_s = 0.0;
  double decode_s = 0.0;
};

/// Called with every new piece of text, in order.
using AnswerSink = std::function<void(std::string_view text, bool is_reasoning)>;

/// Messages and the model that answers them. Borrows the engine; used by one thread at a time.
class Conversation {
 public:
  /// Errors: those of ChatTemplate::of_model and check_sampling.
  static Result<Conversation> create(Engine& engine, const ConversationOptions& options);

  /// Replaces the system message; empty removes it. Takes effect from the next answer on.
  void set_system(std::string_view text);

  /// Forgets everything but the system message.
  void reset();

  /// Adds a user's message and answers it. A stop asked for by core/cancel.h ends the answer, which
  /// is then kept as far as it came, with FinishReason::kCancelled; the flag stays set. On any
  /// error the message is taken back. Errors: those of ChatTemplate::render and Engine::generate.
  Result<Answer> ask(std::string_view text, const AnswerSink& sink = {});

  /// The messages so far, as the template gets them, with the system message.
  Json messages() const;

 private:
  Conversation(Engine& engine, ChatTemplate chat_template, const ConversationOptions& options)
      : engine_(&engine), template_(std::move(chat_template)), options_(options) {}
  Result<Answer> answer(const AnswerSink& sink);

  Engine* engine_;
  ChatTemplate template_;
  ConversationOptions options_;
  std::string system_;
  Json turns_ = Json::array();
};

}  // namespace nibble
