// Class, prefix and parts of the model: what config.json announces and what is stored.
#include <fmt/format.h>

#include <algorithm>

#include "doctor/survey/announced_tensors.h"
#include "doctor/survey/examination.h"

namespace nibble {
namespace {

std::string text_of(const Json& object, const char* key) {
  if (!object.is_object()) return {};
  const auto at = object.find(key);
  return at != object.end() && at->is_string() ? at->get<std::string>() : std::string();
}

std::vector<std::string> classes_of(const Json& config) {
  std::vector<std::string> names;
  if (!config.is_object() || !config.contains("architectures")) return names;
  const Json& list = config["architectures"];
  if (!list.is_array()) return names;
  for (const Json& name : list) {
    if (name.is_string()) names.push_back(name.get<std::string>());
  }
  return names;
}

bool stores(const FolderSurvey& survey, std::string_view prefix) {
  const auto at = survey.canonical_names.lower_bound(std::string(prefix));
  return at != survey.canonical_names.end() && at->starts_with(prefix);
}

bool stores_with_plain_prefix(const FolderSurvey& survey) {
  const auto at = survey.tensors.lower_bound("model.layers.");
  return at != survey.tensors.end() && at->first.starts_with("model.layers.");
}

void report_part(const AnnouncedPart& part, const char* code, const char* what, const char* fix,
                 Diagnosis& diagnosis) {
  if (part.missing.empty()) return;
  constexpr size_t kMaxShown = 5;
  std::string names;
  for (size_t i = 0; i < std::min(part.missing.size(), kMaxShown); ++i) {
    names += (i == 0 ? "" : ", ") + part.missing[i];
  }
  if (part.missing.size() > kMaxShown) {
    names += fmt::format(" and {} more", part.missing.size() - kMaxShown);
  }
  diagnosis.findings.push_back({Severity::kProblem, code, what,
                                fmt::format("config.json announces it, but {} tensors are absent: "
                                            "{}",
                                            part.missing.size(), names),
                                fix});
}

// How the weights of one part of the model are stored.
class StorageCensus {
 public:
  void see(Storage storage) {
    n_plain_ += storage == Storage::kPlain ? 1 : 0;
    n_nvfp4_ += storage == Storage::kNvfp4 ? 1 : 0;
    n_fp8_ += storage == Storage::kFp8 ? 1 : 0;
  }
  const char* text() const {
    const int kinds = (n_plain_ > 0) + (n_nvfp4_ > 0) + (n_fp8_ > 0);
    if (kinds == 0) return "absent";
    if (kinds > 1) return "mixed";
    return n_nvfp4_ > 0 ? "nvfp4" : n_fp8_ > 0 ? "fp8" : "plain";
  }
  size_t n_nvfp4() const { return n_nvfp4_; }
  size_t n_fp8() const { return n_fp8_; }

 private:
  size_t n_plain_ = 0;
  size_t n_nvfp4_ = 0;
  size_t n_fp8_ = 0;
};

void set_storage_facts(const FolderSurvey& survey, Json& facts) {
  StorageCensus all;
  StorageCensus attention;
  StorageCensus delta;
  StorageCensus head;
  StorageCensus embedding;
  size_t n_inputs = 0;
  for (const auto& [name, module] : survey.modules) {
    if (!module.linear_like) continue;
    all.see(module.storage);
    const std::string_view leaf =
        std::string_view(module.canonical).substr(module.canonical.rfind('.') + 1);
    const bool is_layer = module.canonical.starts_with("layers.");
    if (is_layer && module.canonical.find(".self_attn.") != std::string::npos) {
      attention.see(module.storage);
    }
    if (is_layer && (leaf == "in_proj_qkv" || leaf == "in_proj_z" || leaf == "out_proj")) {
      delta.see(module.storage);
    }
    if (module.canonical == "lm_head") head.see(module.storage);
    if (module.canonical == "embed_tokens") embedding.see(module.storage);
    const bool has_input =
        module.part("input_scale") != nullptr || module.part("input_global_scale") != nullptr;
    n_inputs += module.storage == Storage::kNvfp4 && has_input ? 1 : 0;
  }
  const size_t n = all.n_nvfp4();
  facts["algorithm"] = n > 0 && all.n_fp8() > 0 ? "mixed"
                       : n > 0                  ? "nvfp4"
                       : all.n_fp8() > 0        ? "fp8"
                                                : "none";
  // One matrix without its scale among many with is damage, not another scheme.
  facts["activations"] = n == 0              ? "none"
                         : n_inputs == 0     ? "w4a16"
                         : 2 * n_inputs >= n ? "w4a4"
                                             : "mixed";
  facts["attention"] = attention.text();
  facts["delta"] = delta.text();
  facts["attention_or_delta_quantized"] =
      attention.n_nvfp4() + attention.n_fp8() + delta.n_nvfp4() + delta.n_fp8() > 0;
  facts["head"] = head.text();
  facts["embedding"] = embedding.text();
}

}  // namespace

FittingClass fitting_class(const FolderSurvey& survey) {
  FittingClass fitting;
  fitting.has_vision = stores(survey, "visual.");
  const bool has_experts = std::any_of(
      survey.canonical_names.begin(), survey.canonical_names.end(),
      [](const std::string& name) { return name.find(".mlp.experts.") != std::string::npos; });
  fitting.known = std::any_of(survey.canonical_names.begin(), survey.canonical_names.end(),
                              [](const std::string& name) {
                                return name.find(".linear_attn.in_proj_qkv.") != std::string::npos;
                              });
  const std::string type = has_experts ? "qwen3_5_moe" : "qwen3_5";
  const std::string stem = has_experts ? "Qwen3_5Moe" : "Qwen3_5";
  fitting.architecture = stem + (fitting.has_vision ? "ForConditionalGeneration" : "ForCausalLM");
  fitting.model_type = fitting.has_vision ? type : type + "_text";
  fitting.text_type = type + "_text";
  return fitting;
}

bool class_fits(const FolderSurvey& survey) {
  const FittingClass fitting = fitting_class(survey);
  if (!fitting.known || !survey.config.is_object()) return true;
  const std::vector<std::string> classes = classes_of(survey.config);
  const bool has_text_config =
      survey.config.contains("text_config") && survey.config["text_config"].is_object();
  if (fitting.has_vision) {
    return classes == std::vector<std::string>{fitting.architecture} &&
           text_of(survey.config, "model_type") == fitting.model_type && has_text_config &&
           text_of(survey.config["text_config"], "model_type") == fitting.text_type &&
           !stores_with_plain_prefix(survey);
  }
  // Without vision tensors the class with vision still answers text; see the finding on vision.
  if (has_text_config) return !classes.empty();
  return classes == std::vector<std::string>{fitting.architecture} &&
         text_of(survey.config, "model_type") == fitting.model_type;
}

void examine_model(const FolderSurvey& survey, Diagnosis& diagnosis) {
  Json& facts = diagnosis.facts;
  const FittingClass fitting = fitting_class(survey);
  const bool fits = class_fits(survey);
  facts["class_fits"] = fits;
  facts["family"] = !fitting.known                                        ? "other"
                    : fitting.model_type.find("moe") != std::string::npos ? "qwen3_5_moe"
                                                                          : "qwen3_5";
  const std::vector<std::string> classes = classes_of(survey.config);
  facts["text_only"] = std::any_of(classes.begin(), classes.end(), [](const std::string& name) {
    return name.ends_with("ForCausalLM");
  });
  if (!fits) {
    diagnosis.findings.push_back(
        {Severity::kProblem, "class_wrong", "config.json",
         fmt::format("names the class \"{}\" and the model_type \"{}\"; the stored tensors are "
                     "those of {} ({})",
                     fmt::format("{}", fmt::join(classes, ", ")),
                     text_of(survey.config, "model_type"), fitting.architecture,
                     fitting.model_type),
         "nibble repair DIR; where only the prefix is wrong, export again"});
  }
  set_storage_facts(survey, facts);
  const AnnouncedPart text = text_part(survey);
  const AnnouncedPart vision = vision_part(survey);
  const AnnouncedPart mtp = mtp_part(survey);
  facts["text_complete"] = text.missing.empty();
  facts["vision"] = part_state_name(vision.state);
  facts["vision_announced"] = vision.state != PartState::kNotAnnounced;
  facts["mtp"] = part_state_name(mtp.state);
  report_part(text, "tensor_missing", "the text model", "export again with all tensors", diagnosis);
  report_part(vision, "vision_missing", "the vision tower",
              "export again from the base model, or nibble repair DIR where all are absent",
              diagnosis);
  report_part(mtp, "mtp_missing", "the multi-token-prediction layer",
              "nibble repair DIR zeroes mtp_num_hidden_layers where all are absent; or export "
              "again from the base model",
              diagnosis);
}

}  // namespace nibble
