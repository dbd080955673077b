#include "cli/task_answers.h"

#include <memory>
#include <utility>

#include "chat/conversation.h"
#include "core/cancel.h"

namespace nibble {

Result<AnswerFunction> make_task_answerer(Engine& engine, size_t max_tokens) {
  ConversationOptions options;
  options.max_new_tokens = max_tokens;
  ASSIGN_OR_RETURN(Conversation conversation, Conversation::create(engine, options));
  return AnswerFunction([conversation = std::make_shared<Conversation>(std::move(conversation))](
                            const Task& task) -> Result<std::string> {
    conversation->reset();
    ASSIGN_OR_RETURN(Answer answer, conversation->ask(task.question));
    if (answer.finish == FinishReason::kCancelled) RETURN_IF_ERROR(check_cancelled());
    return std::move(answer.content);
  });
}

}  // namespace nibble
