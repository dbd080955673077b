#include "doctor/survey/folder_survey.h"

#include <algorithm>
#include <array>
#include <filesystem>

#include "checkpoint/description.h"
#include "checkpoint/tensor_file.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

constexpr const char* kIndexName = "model.safetensors.index.json";
// Longer endings first: "weight_scale_2" also ends a name that "weight_scale" would cut wrongly.
constexpr std::array<std::string_view, 10> kParts = {"weight_global_scale", "input_global_scale",
                                                     "weight_zero_point",   "pre_quant_scale",
                                                     "weight_scale_inv",    "weight_scale_2",
                                                     "weight_packed",       "weight_scale",
                                                     "input_scale",         "weight"};

void add(FolderSurvey& survey, const char* code, const std::string& subject, std::string message,
         const char* fix) {
  survey.findings.push_back({Severity::kProblem, code, subject, std::move(message), fix});
}

Json read_object(const std::string& path, const char* code, FolderSurvey& survey) {
  const Result<Json> json = read_json_file(path);
  const std::string name = fs::path(path).filename().string();
  if (!json) {
    add(survey, code, name, json.error().message, "restore the file from the base model");
    return nullptr;
  }
  if (json->is_object()) return *json;
  add(survey, code, name, "is not a JSON object", "restore the file from the base model");
  return nullptr;
}

void read_descriptions(FolderSurvey& survey) {
  survey.config = read_object(survey.folder + "/config.json", "config_unreadable", survey);
  if (survey.has_file("hf_quant_config.json")) {
    survey.hf_quant =
        read_object(survey.folder + "/hf_quant_config.json", "description_unreadable", survey);
  }
  const Json* levels[] = {&survey.config, nullptr};
  if (survey.config.is_object() && survey.config.contains("text_config")) {
    levels[1] = &survey.config["text_config"];
  }
  for (const Json* level : levels) {
    if (level == nullptr || !level->is_object() || survey.described_in_config) continue;
    const auto section = level->find("quantization_config");
    if (section == level->end() || !section->is_object()) continue;
    survey.description = *section;
    survey.described_in_config = true;
  }
  if (!survey.described_in_config && survey.hf_quant.is_object()) {
    survey.description = survey.hf_quant;
  }
}

std::string dialect_of(const FolderSurvey& survey) {
  if (!survey.description.is_object()) return survey.is_quantized() ? "none" : "hf";
  if (!survey.described_in_config) return "modelopt";
  const auto method = survey.description.find("quant_method");
  const std::string name = method != survey.description.end() && method->is_string()
                               ? method->get<std::string>()
                               : std::string();
  if (name == "compressed-tensors" || name == "auto-round") return name;
  if (name.starts_with("modelopt")) return "modelopt";
  if (name.empty() && survey.description.contains("producer")) return "modelopt";
  return "other";
}

std::vector<std::string> files_with_weights(const FolderSurvey& survey) {
  std::set<std::string> names;
  const Result<Json> index = read_json_file(survey.folder + "/" + kIndexName);
  const bool has_map = index && index->is_object() && index->contains("weight_map") &&
                       (*index)["weight_map"].is_object();
  if (has_map) {
    for (const auto& [tensor, shard] : (*index)["weight_map"].items()) {
      if (shard.is_string() && shard.get<std::string>().find('/') == std::string::npos) {
        names.insert(shard.get<std::string>());
      }
    }
  } else if (survey.has_file("model.safetensors")) {
    names.insert("model.safetensors");
  } else {
    std::error_code error;
    for (fs::directory_iterator at(survey.folder, error), end; !error && at != end;
         at.increment(error)) {
      const std::string name = at->path().filename().string();
      if (name.ends_with(".safetensors")) names.insert(name);
    }
  }
  return {names.begin(), names.end()};
}

std::optional<float> scalar_value(const TensorView& tensor) {
  const auto count = n_elements(tensor.shape);
  if (!count || *count != 1 || !is_floating(tensor.dtype)) return std::nullopt;
  float value = 0.0f;
  if (!to_f32(tensor, {&value, 1})) return std::nullopt;
  return value;
}

void read_shard(const std::string& name, FolderSurvey& survey) {
  const Result<TensorFile> file = TensorFile::open(survey.folder + "/" + name);
  if (!file) {
    return add(survey, "weights_unreadable", name, file.error().message,
               "download or export the file again");
  }
  if (file->metadata("format").value_or("") != "pt") survey.all_say_pt = false;
  for (const std::string& tensor : file->names()) {
    const std::optional<TensorView> view = file->find(tensor);
    survey.tensors[tensor] = {name, view->dtype, view->shape, scalar_value(*view)};
  }
}

void sort_into_modules(FolderSurvey& survey) {
  for (const auto& [name, tensor] : survey.tensors) {
    for (const std::string_view part : kParts) {
      const std::string ending = "." + std::string(part);
      if (!name.ends_with(ending)) continue;
      const std::string module = name.substr(0, name.size() - ending.size());
      survey.modules[module].parts.emplace(part, tensor);
      break;
    }
    survey.canonical_names.insert(canonical_tensor_name(name));
  }
  for (auto& [name, module] : survey.modules) {
    module.name = name;
    module.canonical = canonical_tensor_name(name);
    const SurveyedTensor* weight = module.part("weight");
    const bool is_packed = module.part("weight_packed") != nullptr;
    const SurveyedTensor* scale = module.part("weight_scale");
    if (is_packed || module.part("weight_global_scale") != nullptr ||
        module.part("weight_scale_2") != nullptr ||
        (weight != nullptr && weight->dtype == DType::kU8)) {
      module.storage = Storage::kNvfp4;
    } else if (weight != nullptr && weight->dtype == DType::kF8E4M3) {
      module.storage = Storage::kFp8;
      module.has_row_scales = scale != nullptr && scale->shape.size() == 2;
    } else if (weight == nullptr && scale != nullptr) {
      module.storage = scale->dtype == DType::kF8E4M3 ? Storage::kNvfp4 : Storage::kFp8;
    }
    const SurveyedTensor* stored = is_packed ? module.part("weight_packed") : weight;
    module.linear_like =
        stored == nullptr ? module.storage != Storage::kPlain : stored->shape.size() >= 2;
    if (is_packed) survey.canonical_names.insert(module.canonical + ".weight");
  }
}

}  // namespace

const SurveyedTensor* SurveyedModule::part(const std::string& ending) const {
  const auto at = parts.find(ending);
  return at == parts.end() ? nullptr : &at->second;
}

bool FolderSurvey::has_file(std::string_view name) const {
  std::error_code ignored;
  return fs::exists(fs::path(folder) / name, ignored);
}

bool FolderSurvey::is_quantized() const {
  return std::any_of(modules.begin(), modules.end(),
                     [](const auto& row) { return row.second.storage != Storage::kPlain; });
}

Result<FolderSurvey> survey_folder(const std::string& folder) {
  std::error_code ignored;
  if (!fs::is_directory(folder, ignored)) {
    return Error(ErrorCode::kNotFound, "is no folder; a checkpoint folder was expected", folder);
  }
  FolderSurvey survey;
  survey.folder = folder;
  read_descriptions(survey);
  survey.shards = files_with_weights(survey);
  if (survey.shards.empty()) {
    add(survey, "weights_missing", folder, "holds no *.safetensors file", "download the weights");
  }
  for (const std::string& shard : survey.shards) read_shard(shard, survey);
  sort_into_modules(survey);
  survey.dialect = dialect_of(survey);
  if (survey.config.is_object()) {
    const Result<ModelConfig> model = parse_model_config(survey.config, folder + "/config.json");
    if (model) survey.model = *model;
  }
  return survey;
}

}  // namespace nibble
