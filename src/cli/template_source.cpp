#include "cli/template_source.h"

#include <fmt/format.h>

#include <filesystem>
#include <system_error>

#include "chat/message.h"
#include "cli/model_source.h"
#include "core/file.h"

namespace nibble {
namespace {

bool exists(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

}  // namespace

Result<ChatTemplate> load_chat_template(const std::string& folder,
                                        const std::optional<std::string>& template_file) {
  Json config = Json::object();
  const std::string config_path = folder + "/tokenizer_config.json";
  if (exists(config_path)) {
    ASSIGN_OR_RETURN(config, read_json_file(config_path));
  }
  if (template_file) {
    ASSIGN_OR_RETURN(const std::string text, read_argument_file(*template_file));
    return ChatTemplate::create(text, *template_file, config);
  }
  const std::string own_path = folder + "/chat_template.jinja";
  if (exists(own_path)) {
    ASSIGN_OR_RETURN(const std::string text, read_file(own_path));
    return ChatTemplate::create(text, own_path, config);
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
