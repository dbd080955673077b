#include "cli/template_source.h"

#include <fmt/format.h>

#include "chat/message.h"
#include "checkpoint/side_files.h"
#include "cli/model_source.h"

namespace nibble {
namespace {

// The file's text, or nothing where the model has none.
Result<std::optional<std::string>> find_side_file(const std::string& model, const char* name) {
  auto text = read_side_file(model, name);
  if (text) return std::optional<std::string>(*std::move(text));
  if (text.error().code == ErrorCode::kNotFound) return std::optional<std::string>();
  return text.error();
}

}  // namespace

Result<ChatTemplate> load_chat_template(const std::string& folder,
                                        const std::optional<std::string>& template_file) {
  Json config = Json::object();
  const std::string config_path = folder + "/tokenizer_config.json";
  ASSIGN_OR_RETURN(const auto config_text, find_side_file(folder, "tokenizer_config.json"));
  if (config_text) {
    ASSIGN_OR_RETURN(config, parse_json(*config_text, config_path));
  }
  if (template_file) {
    ASSIGN_OR_RETURN(const std::string text, read_argument_file(*template_file));
    return ChatTemplate::create(text, *template_file, config);
  }
  ASSIGN_OR_RETURN(const auto own_template, find_side_file(folder, "chat_template.jinja"));
  if (own_template) {
    return ChatTemplate::create(*own_template, folder + "/chat_template.jinja", config);
  }
  const std::string text = template_in_tokenizer_config(config);
  if (text.empty()) {
    return Error(ErrorCode::kNotFound,
                 "the model has no chat template, neither chat_template.jinja nor one in "
                 "tokenizer_config.json: give one by --template",
                 folder);
  }
  return ChatTemplate::create(text, config_path, config);
}

Status apply_setting(const std::string& setting, Json& variables) {
  const size_t equals = setting.find('=');
  if (equals == std::string::npos || equals == 0) {
    return Error(
        ErrorCode::kInvalidArgument,
        fmt::format("--set {}: expected KEY=VALUE, such as enable_thinking=false", setting));
  }
  const std::string value = setting.substr(equals + 1);
  Result<Json> parsed = parse_message_json(value, "--set");
  variables[setting.substr(0, equals)] = parsed ? std::move(*parsed) : Json(value);
  return {};
}

}  // namespace nibble
