#include "engine/model_folder.h"

#include <fmt/format.h>

#include <limits>
#include <set>

#include "core/log.h"
#include "model/field_reader.h"
#include "tokenizer/tokenizer_config.h"

namespace nibble {
namespace {

// chat_template of tokenizer_config.json: a text, or a list of named ones.
std::optional<std::string> template_in_config(const Json& tokenizer_config) {
  const auto found = tokenizer_config.find("chat_template");
  if (found == tokenizer_config.end()) return std::nullopt;
  if (found->is_string()) return found->get<std::string>();
  if (!found->is_array()) return std::nullopt;
  for (const Json& entry : *found) {
    if (!entry.is_object() || !entry.contains("name") || !entry.contains("template")) continue;
    if (entry["name"] == "default" && entry["template"].is_string()) {
      return entry["template"].get<std::string>();
    }
  }
  return std::nullopt;
}

class FolderReader {
 public:
  FolderReader(const SideFileReader& side_file, const std::string& folder,
               const ModelConfig& config)
      : side_file_(side_file),
        folder_(folder),
        config_(config),
        stop_tokens_(config.eos_token_ids.begin(), config.eos_token_ids.end()) {}

  Result<ModelFolder> read(bool requires_tokenizer) {
    RETURN_IF_ERROR(read_tokenizer(requires_tokenizer));
    RETURN_IF_ERROR(read_tokenizer_config());
    ASSIGN_OR_RETURN(auto chat_template, read_optional("chat_template.jinja"));
    result_.chat_template =
        chat_template ? std::move(chat_template) : template_in_config(result_.tokenizer_config);
    RETURN_IF_ERROR(read_generation_config());
    for (const int32_t id : stop_tokens_) {
      if (id < config_.vocab_size) result_.stop_tokens.push_back(id);
    }
    return std::move(result_);
  }

 private:
  std::string path(const char* name) const { return folder_ + "/" + name; }

  // The file's content, or nothing where there is no such file.
  Result<std::optional<std::string>> read_optional(const char* name) const {
    auto content = side_file_(name);
    if (content) return std::optional<std::string>(std::move(content).value());
    if (content.error().code == ErrorCode::kNotFound) return std::optional<std::string>();
    return content.error();
  }

  Status read_tokenizer(bool is_required) {
    const std::string file = path("tokenizer.json");
    ASSIGN_OR_RETURN(const auto json, read_optional("tokenizer.json"));
    if (!json && is_required) {
      return Error(ErrorCode::kNotFound,
                   "the folder has no tokenizer.json, which text needs; copy it from the original "
                   "model",
                   file);
    }
    if (!json) return {};
    ASSIGN_OR_RETURN(result_.tokenizer, Tokenizer::from_json(*json, file));
    if (result_.tokenizer->size() > static_cast<size_t>(config_.vocab_size)) {
      log(LogLevel::kWarning, "engine",
          "{}: the tokenizer has {} tokens, but the model only {}; texts with the others fail",
          file, result_.tokenizer->size(), config_.vocab_size);
    }
    return {};
  }

  Status read_tokenizer_config() {
    const std::string file = path("tokenizer_config.json");
    ASSIGN_OR_RETURN(const auto json, read_optional("tokenizer_config.json"));
    if (!json) return {};
    ASSIGN_OR_RETURN(result_.tokenizer_config, parse_json(*json, file));
    ASSIGN_OR_RETURN(const TokenizerConfig parsed, parse_tokenizer_config(*json, file));
    if (parsed.eos_token && result_.tokenizer) {
      const auto id = result_.tokenizer->token_id(*parsed.eos_token);
      if (id) stop_tokens_.insert(*id);
    }
    return {};
  }

  Status read_generation_config() {
    const std::string file = path("generation_config.json");
    ASSIGN_OR_RETURN(const auto text, read_optional("generation_config.json"));
    if (!text) return {};
    ASSIGN_OR_RETURN(const Json json, parse_json(*text, file));
    ASSIGN_OR_RETURN(result_.default_sampling, parse_generation_sampling(json, file));
    FieldReader fields(json, "", file);
    for (const int32_t id : fields.token_ids("eos_token_id")) stop_tokens_.insert(id);
    return fields.status();
  }

  const SideFileReader& side_file_;
  const std::string& folder_;
  const ModelConfig& config_;
  std::set<int32_t> stop_tokens_;
  ModelFolder result_;
};

}  // namespace

Result<SamplingParams> parse_generation_sampling(const Json& config, const std::string& subject) {
  constexpr double kLargest = static_cast<double>(std::numeric_limits<float>::max());
  FieldReader fields(config, "", subject);
  const auto number = [&](const char* name, double fallback) {
    return static_cast<float>(fields.number(name, {-kLargest, kLargest}, fallback));
  };
  SamplingParams params;
  const bool has_temperature = fields.find("temperature") != nullptr;
  const bool samples = fields.boolean("do_sample", has_temperature);
  params.temperature = number("temperature", samples ? 1.0 : 0.0);
  if (!samples) params.temperature = 0.0f;
  constexpr FieldReader::IntegerRange kTopK = {-1, std::numeric_limits<int32_t>::max()};
  params.top_k = static_cast<int32_t>(fields.integer("top_k", kTopK, 0));
  params.top_p = number("top_p", 1.0);
  params.min_p = number("min_p", 0.0);
  params.repetition_penalty = number("repetition_penalty", 1.0);
  params.presence_penalty = number("presence_penalty", 0.0);
  params.frequency_penalty = number("frequency_penalty", 0.0);
  RETURN_IF_ERROR(fields.status());
  if (const Status status = check_sampling(params); !status) {
    return Error(ErrorCode::kCorrupt, status.error().message, subject);
  }
  return params;
}

Result<ModelFolder> read_model_folder(const SideFileReader& side_file, const std::string& folder,
                                      const ModelConfig& config, bool requires_tokenizer) {
  return FolderReader(side_file, folder, config).read(requires_tokenizer);
}

}  // namespace nibble
