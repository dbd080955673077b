#include "doctor/repair.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <array>
#include <filesystem>
#include <map>

#include "checkpoint/description.h"
#include "core/file.h"
#include "doctor/matching/engine_view.h"
#include "doctor/survey/announced_tensors.h"
#include "doctor/survey/examination.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

constexpr const char* kConfigName = "config.json";
constexpr const char* kQuantName = "hf_quant_config.json";
constexpr const char* kIndexName = "model.safetensors.index.json";
constexpr const char* kBackupEnding = ".before-repair";

constexpr std::array<const char*, 8> kTextFiles = {
    "tokenizer.json",      "tokenizer_config.json",  "generation_config.json",
    "chat_template.jinja", "chat_template.json",     "vocab.json",
    "merges.txt",          "special_tokens_map.json"};
constexpr std::array<const char*, 3> kVisionFiles = {
    "preprocessor_config.json", "video_preprocessor_config.json", "processor_config.json"};

std::vector<DescribedModule> described(const FolderSurvey& survey) {
  std::vector<DescribedModule> modules;
  modules.reserve(survey.modules.size());
  for (const auto& [name, module] : survey.modules) {
    DescribedModule one;
    one.name = name;
    one.storage = module.storage;
    one.has_row_scales = module.has_row_scales;
    one.has_input_scale =
        module.part("input_scale") != nullptr || module.part("input_global_scale") != nullptr;
    one.linear_like = module.linear_like;
    modules.push_back(std::move(one));
  }
  return modules;
}

bool has_gap(const FolderSurvey& survey) {
  return !list_gaps(survey, LoaderEngine::kVllm).empty() ||
         !list_gaps(survey, LoaderEngine::kSglang).empty() ||
         !list_gaps(survey, LoaderEngine::kTransformers).empty();
}

class Mender {
 public:
  Mender(FolderSurvey survey, const RepairOptions& options, RepairReport& report)
      : survey_(std::move(survey)), options_(options), report_(report), config_(survey_.config) {}

  Status run() {
    mend_class();
    mend_mtp_count();
    mend_description();
    if (config_ != survey_.config) replace(kConfigName, dump_json(config_));
    mend_second_description();
    mend_index();
    RETURN_IF_ERROR(copy_from_base());
    const std::vector<std::string> closed = private_files(survey_.folder);
    for (const std::string& name : closed) {
      step("file_mode", name, "only its owner could read it; now everybody can");
    }
    if (options_.dry_run) return {};
    for (const auto& [name, content] : contents_) RETURN_IF_ERROR(write(name, content));
    for (const std::string& name : removed_) RETURN_IF_ERROR(set_aside(name));
    for (const std::string& name : closed) RETURN_IF_ERROR(open_to_all(name));
    return sync_folder(survey_.folder);
  }

 private:
  void step(const char* code, const std::string& file, std::string message) {
    report_.steps.push_back({code, file, std::move(message)});
  }
  void replace(const std::string& name, std::string content) {
    contents_[name] = std::move(content);
  }

  void set_text(Json& object, const char* key, const Json& value, const char* where) {
    const auto at = object.find(key);
    if (at != object.end() && *at == value) return;
    step("class", kConfigName,
         fmt::format("{}{}: {} -> {}", where, key,
                     at == object.end() ? "(absent)" : dump_json_line(*at), dump_json_line(value)));
    object[key] = value;
  }

  // Only what the tensors leave no doubt about: the prefix of stored names cannot be mended.
  void mend_class() {
    if (class_fits(survey_)) return;
    const FittingClass fitting = fitting_class(survey_);
    const bool nested = config_.contains("text_config") && config_["text_config"].is_object();
    if (fitting.has_vision != nested) return;
    set_text(config_, "architectures", Json::array({fitting.architecture}), "");
    set_text(config_, "model_type", fitting.model_type, "");
    if (nested) set_text(config_["text_config"], "model_type", fitting.text_type, "text_config.");
  }

  void mend_mtp_count() {
    if (mtp_part(survey_).state != PartState::kMissing) return;
    for (Json* level :
         {&config_, config_.contains("text_config") ? &config_["text_config"] : nullptr}) {
      if (level == nullptr || !level->is_object()) continue;
      const auto at = level->find("mtp_num_hidden_layers");
      if (at == level->end() || *at == 0) continue;
      step("mtp_count", kConfigName,
           fmt::format("mtp_num_hidden_layers: {} -> 0, as no tensor of the MTP layer is stored",
                       dump_json_line(*at)));
      *at = 0;
    }
  }

  bool has_fp8_cache() const {
    const auto scheme = survey_.description.find("kv_cache_scheme");
    return scheme != survey_.description.end() && scheme->is_object();
  }

  void mend_description() {
    if (survey_.dialect == "auto-round") {
      config_["quantization_config"] = compressed_tensors_section(described(survey_), false);
      step("auto_round", kConfigName,
           "quantization_config: AutoRound's own description rewritten as compressed-tensors");
      return;
    }
    if (!survey_.described_in_config || !config_.contains("quantization_config")) return;
    Json& section = config_["quantization_config"];
    if (survey_.dialect == "compressed-tensors") mend_compressed_tensors(section);
    if (survey_.dialect == "modelopt" && has_gap(survey_) &&
        !section.contains("quantized_layers")) {
      const ModelOptSections made = modelopt_sections(described(survey_), has_fp8_cache());
      section["ignore"] = made.config_section["ignore"];
      step("ignore_list", kConfigName, "quantization_config.ignore: rewritten from the tensors");
    }
  }

  void mend_compressed_tensors(Json& section) {
    for (const std::string& path : unknown_argument_keys(survey_.description)) {
      const size_t first = path.find('.');
      const size_t second = path.find('.', first + 1);
      section["config_groups"][path.substr(0, first)][path.substr(first + 1, second - first - 1)]
          .erase(path.substr(second + 1));
      step("unknown_key", kConfigName, fmt::format("{}: removed", path));
    }
    const auto status = section.find("quantization_status");
    if (status == section.end() || *status != "compressed") {
      section["quantization_status"] = "compressed";
      step("status", kConfigName, "quantization_config.quantization_status: set to \"compressed\"");
    }
    if (!scheme_known(survey_)) {
      section = compressed_tensors_section(described(survey_), has_fp8_cache());
      step("scheme", kConfigName, "quantization_config: rewritten from the tensors");
    } else if (has_gap(survey_)) {
      section["ignore"] = compressed_tensors_section(described(survey_), false)["ignore"];
      step("ignore_list", kConfigName, "quantization_config.ignore: rewritten from the tensors");
    }
  }

  void mend_second_description() {
    const bool exists = survey_.hf_quant.is_object();
    const bool is_modelopt = survey_.dialect == "modelopt";
    if (survey_.described_in_config && exists && !is_modelopt) {
      removed_.emplace_back(kQuantName);
      step("stale_description", kQuantName, "removed: config.json describes another dialect");
      return;
    }
    if (!is_modelopt) return;
    Json file = exists ? survey_.hf_quant : Json::object();
    const Json before = file;
    const Json& section = config_.contains("quantization_config") ? config_["quantization_config"]
                                                                  : survey_.description;
    if (!exists) file["producer"] = section.value("producer", Json::object());
    Json& inner = file["quantization"];
    if (inner.is_null()) inner = Json::object();
    for (const char* key : {"quant_algo", "quantized_layers"}) {
      if (!inner.contains(key) && section.contains(key)) inner[key] = section[key];
    }
    if (!inner.contains("kv_cache_quant_algo")) {
      inner["kv_cache_quant_algo"] = has_fp8_cache() ? Json("FP8") : Json(nullptr);
    }
    if (!inner.contains("group_size")) inner["group_size"] = 16;
    const bool list_changed = config_ != survey_.config && section.contains("ignore");
    if (section.contains("ignore") && (!inner.contains("exclude_modules") || list_changed)) {
      inner["exclude_modules"] = section["ignore"];
    }
    if (file == before) return;
    replace(kQuantName, dump_json(file));
    step("second_file", kQuantName,
         exists ? "completed from config.json" : "written from config.json");
  }

  void mend_index() {
    // Where a weight file is unreadable, the list would lose its tensors.
    if (!survey_.findings.empty() || !index_is_wrong(survey_)) return;
    uint64_t n_bytes = 0;
    std::map<std::string, std::string> places;
    for (const auto& [name, tensor] : survey_.tensors) {
      places[name] = tensor.shard;
      n_bytes += n_elements(tensor.shape).value_or(0) * dtype_bytes(tensor.dtype);
    }
    Json index = Json::object();
    index["metadata"] = Json::object({{"total_size", n_bytes}});
    index["weight_map"] = places;
    replace(kIndexName, dump_json(index));
    step("index", kIndexName,
         fmt::format("written from the headers of {} weight files", survey_.shards.size()));
  }

  Status copy_from_base() {
    if (!options_.base) return {};
    ASSIGN_OR_RETURN(const Json base, read_json_file(*options_.base + "/" + kConfigName));
    const Result<ModelConfig> model = parse_model_config(base, *options_.base + "/" + kConfigName);
    if (!model || !survey_.model || model->vocab_size != survey_.model->vocab_size) {
      return Error(ErrorCode::kMismatch,
                   "is not the base of this checkpoint: model or vocabulary differ",
                   *options_.base);
    }
    std::vector<std::string> names(kTextFiles.begin(), kTextFiles.end());
    if (survey_.model->has_vision)
      names.insert(names.end(), kVisionFiles.begin(), kVisionFiles.end());
    for (const std::string& name : names) {
      std::error_code ignored;
      const std::string from = *options_.base + "/" + name;
      if (survey_.has_file(name) || !fs::is_regular_file(from, ignored)) continue;
      ASSIGN_OR_RETURN(std::string content, read_file(from));
      replace(name, std::move(content));
      step("side_file", name, "copied from the base model");
    }
    return {};
  }

  std::string path(const std::string& name) const { return survey_.folder + "/" + name; }

  Status write(const std::string& name, const std::string& content) {
    if (survey_.has_file(name) && options_.keep_backup) {
      std::error_code ignored;
      const std::string backup = path(name) + kBackupEnding;
      if (!fs::exists(backup, ignored)) RETURN_IF_ERROR(copy_file_bytes(path(name), backup));
    }
    return write_file_atomically(path(name), content);
  }

  Status set_aside(const std::string& name) {
    std::error_code error;
    if (options_.keep_backup) {
      fs::rename(path(name), path(name) + kBackupEnding, error);
    } else {
      fs::remove(path(name), error);
    }
    if (error) return system_error(error.value(), "cannot remove", path(name));
    return {};
  }

  Status open_to_all(const std::string& name) {
    struct stat status {};
    if (::stat(path(name).c_str(), &status) != 0)
      return system_error(errno, "cannot look at", path(name));
    if (::chmod(path(name).c_str(), (status.st_mode & 07777) | S_IRGRP | S_IROTH) == 0) return {};
    return system_error(errno, "cannot change the mode of", path(name));
  }

  const FolderSurvey survey_;
  const RepairOptions& options_;
  RepairReport& report_;
  Json config_;
  std::map<std::string, std::string> contents_;
  std::vector<std::string> removed_;
};

}  // namespace

Result<RepairReport> repair_checkpoint(const std::string& folder, const RepairOptions& options) {
  ASSIGN_OR_RETURN(FolderSurvey survey, survey_folder(folder));
  if (!survey.config.is_object()) {
    return Error(ErrorCode::kCorrupt, "cannot be read; restore it from the base model",
                 folder + "/" + kConfigName);
  }
  RepairReport report;
  report.folder = folder;
  report.dry_run = options.dry_run;
  RETURN_IF_ERROR(Mender(std::move(survey), options, report).run());
  return report;
}

Json repair_json(const RepairReport& report) {
  Json steps = Json::array();
  for (const RepairStep& step : report.steps) {
    steps.push_back({{"code", step.code}, {"file", step.file}, {"message", step.message}});
  }
  return Json{{"folder", report.folder}, {"dry_run", report.dry_run}, {"steps", std::move(steps)}};
}

std::string repair_text(const RepairReport& report) {
  std::string text;
  for (const RepairStep& step : report.steps) {
    text += fmt::format("  {}: {}\n", step.file, step.message);
  }
  if (report.steps.empty()) return fmt::format("{}: nothing to repair\n", report.folder);
  return fmt::format("{}: {} {}\n", report.folder, report.steps.size(),
                     report.dry_run ? "changes to make" : "changes made") +
         text;
}

}  // namespace nibble
