// `nibble chat`: a conversation at the terminal, or one answer per line of a pipe.
#include <fmt/format.h>

#include <csignal>

#include "chat/conversation.h"
#include "cli/commands/make_commands.h"
#include "cli/exit_code.h"
#include "cli/model_source.h"
#include "cli/sampling_options.h"
#include "cli/terminal/line_editor.h"
#include "core/cancel.h"

namespace nibble {
namespace {

constexpr std::string_view kDim = "\x1b[2m";
constexpr std::string_view kPlain = "\x1b[0m";

constexpr std::string_view kChatHelp =
    "/system TEXT  set the system message (empty: none) and start anew\n"
    "/reset        forget the conversation\n"
    "/help         this list\n"
    "/exit         leave, as Ctrl-D does\n"
    "Ctrl-C stops an answer.";

/// Shows an answer while it arrives: thinking dimmed on a terminal, between tags elsewhere.
class AnswerPrinter {
 public:
  AnswerPrinter(Console& console, bool shows_thinking)
      : console_(console), shows_thinking_(shows_thinking) {}

  void show(std::string_view text, bool is_reasoning) {
    if (is_reasoning && !shows_thinking_) return;
    if (is_reasoning != in_thinking_) switch_side(is_reasoning);
    console_.print_now(text);
  }

  void finish() {
    if (in_thinking_) switch_side(false);
    console_.print_now("\n");
  }

 private:
  void switch_side(bool to_thinking) {
    const bool styled = console_.styles_stdout();
    if (to_thinking) {
      console_.print_now(styled ? kDim : "<think>\n");
    } else {
      console_.print_now(styled ? fmt::format("{}\n\n", kPlain) : "\n</think>\n\n");
    }
    in_thinking_ = to_thinking;
  }

  Console& console_;
  bool shows_thinking_;
  bool in_thinking_ = false;
};

class ChatCommand : public Command {
 public:
  void declare(ArgumentParser& parser) override {
    parser.positional("MODEL", model_, "Checkpoint folder or GGUF file");
    parser.option("--system", system_, "System message", "TEXT");
    parser.flag("--no-think", no_think_, "Ask the template for answers without thinking");
    parser.flag("--hide-thinking,!--show-thinking", hide_thinking_,
                "Do not show the thinking (it is shown by default)");
    parser.option("-n,--max-tokens", max_tokens_, "Most tokens of one answer");
    sampling_.declare(parser);
  }

  Result<int> run(Console& console, const GeneralOptions& general) override {
    ASSIGN_OR_RETURN(const auto engine, open_engine(model_, general, console));
    ConversationOptions options;
    options.sampling = sampling_.over(engine->default_sampling());
    options.max_new_tokens = max_tokens_;
    if (no_think_) options.template_variables["enable_thinking"] = false;
    ASSIGN_OR_RETURN(Conversation conversation, Conversation::create(*engine, options));
    if (system_) conversation.set_system(*system_);

    LineEditor editor;
    interactive_ = editor.is_interactive();
    if (interactive_) {
      console.note(fmt::format("{} on {}. /help lists commands, Ctrl-D leaves.", model_,
                               engine->backend_description()));
    }
    ASSIGN_OR_RETURN(const int exit_code, talk(console, editor, conversation));
    console.print_json({{"turns", turns_}, {"seed", options.sampling.seed}});
    return exit_code;
  }

 private:
  Result<int> talk(Console& console, LineEditor& editor, Conversation& conversation) {
    std::string line;
    while (true) {
      switch (editor.read("> ", line)) {
        case LineOutcome::kEnd:
          if (interactive_) console.print("\n");
          return 0;
        case LineOutcome::kInterrupted:
          // At the prompt Ctrl-C only drops the line that was being typed.
          if (cancel_signal() != SIGINT || !interactive_) RETURN_IF_ERROR(check_cancelled());
          clear_cancel();
          continue;
        case LineOutcome::kLine:
          break;
      }
      if (line.find_first_not_of(" \t") == std::string::npos) continue;
      if (line.starts_with('/')) {
        if (!obey(console, conversation, line)) return 0;
        continue;
      }
      RETURN_IF_ERROR(answer(console, conversation, line));
    }
  }

  /// Carries out a /command; false means leave.
  bool obey(Console& console, Conversation& conversation, const std::string& line) const {
    const size_t blank = std::min(line.find(' '), line.size());
    const std::string name = line.substr(0, blank);
    const std::string rest = line.substr(std::min(blank + 1, line.size()));
    if (name == "/exit" || name == "/quit") return false;
    if (name == "/reset") {
      conversation.reset();
      console.note("[the conversation starts anew]");
    } else if (name == "/system") {
      conversation.set_system(rest);
      conversation.reset();
      console.note(rest.empty() ? "[no system message]" : "[system message set]");
    } else {
      if (name != "/help") console.note(fmt::format("unknown command {}", name));
      console.note(kChatHelp);
    }
    return true;
  }

  Status answer(Console& console, Conversation& conversation, const std::string& line) {
    AnswerPrinter printer(console, !hide_thinking_);
    const Result<Answer> result = conversation.ask(
        line, [&](std::string_view text, bool is_reasoning) { printer.show(text, is_reasoning); });
    printer.finish();
    if (!result) {
      // A person can go on after a message that the template or the context refuses.
      if (!interactive_) return as_template_failure(result.error());
      console.note(result.error().to_string());
      return {};
    }
    if (result->finish == FinishReason::kCancelled) {
      if (cancel_signal() != SIGINT || !interactive_) RETURN_IF_ERROR(check_cancelled());
      clear_cancel();
    }
    if (result->finish != FinishReason::kStop) {
      console.note(fmt::format("[{}]", finish_reason_name(result->finish)));
    }
    turns_.push_back({{"user", line},
                      {"reasoning", result->reasoning},
                      {"content", result->content},
                      {"finish_reason", finish_reason_name(result->finish)},
                      {"n_tokens", result->n_tokens}});
    return {};
  }

  std::string model_;
  std::optional<std::string> system_;
  bool no_think_ = false;
  bool hide_thinking_ = false;
  size_t max_tokens_ = 2048;
  SamplingOptions sampling_;
  bool interactive_ = false;
  Json turns_ = Json::array();
};

}  // namespace

std::unique_ptr<Command> make_chat_command() { return std::make_unique<ChatCommand>(); }

}  // namespace nibble
