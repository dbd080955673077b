// `nibble render`: what a chat template makes of messages, without a model.
#include "chat/message.h"
#include "cli/commands/make_commands.h"
#include "cli/exit_code.h"
#include "cli/model_source.h"
#include "cli/template_source.h"

namespace nibble {
namespace {

class RenderCommand : public Command {
 public:
  void declare(ArgumentParser& parser) override {
    parser.positional("MODEL", model_, "Checkpoint folder or GGUF file; no weight is read");
    parser.option("-m,--messages", messages_,
                  "JSON file: a list of messages, or an object with \"messages\" and other "
                  "variables; - is stdin",
                  "FILE", Presence::kRequired);
    parser.option("--template", template_, "Use this template in place of the model's", "FILE");
    parser.option("--tools", tools_, "JSON file: a list of tools", "FILE");
    parser.option("--set", settings_,
                  "A variable for the template; a value that is no JSON is taken as text",
                  "KEY=JSON");
    parser.flag("--no-generation-prompt", no_generation_prompt_,
                "Do not open the assistant's next turn");
  }

  Result<int> run(Console& console, const GeneralOptions&) override {
    RETURN_IF_ERROR(check_model_folder(model_, "tokenizer_config.json"));
    ASSIGN_OR_RETURN(const ChatTemplate chat_template, load_chat_template(model_, template_));
    ChatVariables variables;
    variables.add_generation_prompt = !no_generation_prompt_;
    ASSIGN_OR_RETURN(const Json messages, read_messages(variables.extra));
    if (tools_) {
      ASSIGN_OR_RETURN(const std::string tools, read_argument_file(*tools_));
      ASSIGN_OR_RETURN(variables.extra["tools"], parse_message_json(tools, *tools_));
    }
    if (no_generation_prompt_) variables.extra.erase("add_generation_prompt");
    for (const std::string& setting : settings_) {
      RETURN_IF_ERROR(apply_setting(setting, variables.extra));
    }
    const Result<std::string> text = chat_template.render(messages, variables);
    if (!text) return as_template_failure(text.error());
    console.print_json({{"text", *text}});
    console.print(*text);
    return 0;
  }

 private:
  /// The list of messages; what else the file's object holds goes to `variables`.
  Result<Json> read_messages(Json& variables) const {
    ASSIGN_OR_RETURN(const std::string text,
                     messages_ == "-" ? read_stdin() : read_argument_file(messages_));
    ASSIGN_OR_RETURN(Json document, parse_message_json(text, messages_));
    if (document.is_object() && document.contains("messages")) {
      Json messages = document["messages"];
      document.erase("messages");
      variables = std::move(document);
      document = std::move(messages);
    }
    if (document.is_array()) return document;
    return Error(ErrorCode::kInvalidArgument,
                 "expected a JSON list of messages, or an object with \"messages\"", messages_);
  }

  std::string model_;
  std::string messages_;
  std::optional<std::string> template_;
  std::optional<std::string> tools_;
  std::vector<std::string> settings_;
  bool no_generation_prompt_ = false;
};

}  // namespace

std::unique_ptr<Command> make_render_command() { return std::make_unique<RenderCommand>(); }

}  // namespace nibble
