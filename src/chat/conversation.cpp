#include "chat/conversation.h"

#include "chat/reasoning.h"
#include "tokenizer/stream_decoder.h"

namespace nibble {

Result<Conversation> Conversation::create(Engine& engine, const ConversationOptions& options) {
  RETURN_IF_ERROR(check_sampling(options.sampling));
  ASSIGN_OR_RETURN(ChatTemplate chat_template, ChatTemplate::of_model(engine));
  return Conversation(engine, std::move(chat_template), options);
}

void Conversation::set_system(std::string_view text) { system_ = text; }

void Conversation::reset() { turns_.clear(); }

Json Conversation::messages() const {
  Json messages = Json::array();
  if (!system_.empty()) messages.push_back({{"role", "system"}, {"content", system_}});
  for (const Json& turn : turns_) messages.push_back(turn);
  return messages;
}

Result<Answer> Conversation::ask(std::string_view text, const AnswerSink& sink) {
  turns_.push_back({{"role", "user"}, {"content", text}});
  auto result = answer(sink);
  if (!result) {
    turns_.erase(turns_.size() - 1);
    return result;
  }
  Json turn = {{"role", "assistant"}, {"content", result->content}};
  if (!result->reasoning.empty()) turn["reasoning_content"] = result->reasoning;
  turns_.push_back(std::move(turn));
  return result;
}

Result<Answer> Conversation::answer(const AnswerSink& sink) {
  ChatVariables variables;
  variables.extra = options_.template_variables;
  ASSIGN_OR_RETURN(const std::string prompt, template_.render(messages(), variables));
  ASSIGN_OR_RETURN(const std::vector<int32_t> ids, engine_->tokenizer().encode(prompt));

  Answer answer;
  ReasoningSplitter splitter(prompt);
  const auto take = [&](const ReasoningDelta& delta) {
    answer.reasoning += delta.reasoning;
    answer.content += delta.content;
    if (sink && !delta.reasoning.empty()) sink(delta.reasoning, true);
    if (sink && !delta.content.empty()) sink(delta.content, false);
  };
  DecodeOptions decode_options;
  decode_options.skip_special = true;
  StreamDecoder decoder(engine_->tokenizer(), decode_options);
  GenerationParams params;
  params.sampling = options_.sampling;
  params.max_new_tokens = options_.max_new_tokens;
  ASSIGN_OR_RETURN(const GenerationResult result,
                   engine_->generate(ids, params, [&](int32_t token) {
                     take(splitter.push(decoder.push(token)));
                     return true;
                   }));
  take(splitter.push(decoder.flush()));
  take(splitter.finish());

  answer.finish = result.finish;
  answer.n_prompt_tokens = result.n_prompt_tokens;
  answer.n_tokens = result.tokens.size();
  answer.prefill_s = result.prefill_s;
  answer.decode_s = result.decode_s;
  return answer;
}

}  // namespace nibble
