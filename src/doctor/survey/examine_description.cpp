// The description of the quantization, and whether engines read it as it is meant.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "doctor/matching/engine_view.h"
#include "doctor/survey/examination.h"

namespace nibble {
namespace {

constexpr const char* kRepair = "nibble repair DIR";

// What compressed-tensors knows inside weights and activations; it refuses anything else.
constexpr std::array<std::string_view, 14> kArgumentKeys = {
    "num_bits",    "type",
    "symmetric",   "group_size",
    "strategy",    "block_structure",
    "dynamic",     "actorder",
    "observer",    "observer_kwargs",
    "scale_dtype", "zp_dtype",
    "is_online",   "scale_calculation_mode"};

constexpr std::array<std::string_view, 6> kAlgorithms = {
    "NVFP4", "W4A16_NVFP4", "MIXED_PRECISION", "FP8", "FP8_PER_CHANNEL_PER_TOKEN", "FP8_PB_WO"};

std::string text_of(const Json& object, const char* key) {
  const auto at = object.find(key);
  return at != object.end() && at->is_string() ? at->get<std::string>() : std::string();
}

bool number_is(const Json& object, const char* key, int expected) {
  const auto at = object.find(key);
  return at != object.end() && *at == expected;
}

bool is_known_argument(const Json& arguments) {
  const std::string strategy = text_of(arguments, "strategy");
  if (text_of(arguments, "type") != "float") return false;
  if (number_is(arguments, "num_bits", 4)) {
    return strategy == "tensor_group" && number_is(arguments, "group_size", 16);
  }
  constexpr std::array<std::string_view, 5> kFp8 = {"tensor", "channel", "token", "block", "group"};
  return number_is(arguments, "num_bits", 8) &&
         std::find(kFp8.begin(), kFp8.end(), strategy) != kFp8.end();
}

const Json& algorithm_object(const Json& description) {
  const auto inner = description.find("quantization");
  return inner != description.end() && inner->is_object() ? *inner : description;
}

// A gap of one kind, with what would help.
void report_gaps(const FolderSurvey& survey, LoaderEngine engine, Diagnosis& diagnosis) {
  const std::vector<ListGap> gaps = list_gaps(survey, engine);
  bool main_gap = false;
  bool mtp_gap = false;
  const ListGap* first_main = nullptr;
  const ListGap* first_mtp = nullptr;
  size_t n_main = 0;
  for (const ListGap& gap : gaps) {
    const bool is_mtp = gap.area == ModuleArea::kMtp;
    (is_mtp ? mtp_gap : main_gap) = true;
    n_main += is_mtp ? 0 : 1;
    const ListGap*& first = is_mtp ? first_mtp : first_main;
    if (first == nullptr) first = &gap;
  }
  for (const ListGap* gap : {first_main, first_mtp}) {
    if (gap == nullptr) continue;
    const std::string what = gap->stored_quantized
                                 ? "is stored quantized, but the description makes it unquantized"
                                 : "is stored unquantized, but the description makes it quantized";
    diagnosis.findings.push_back(
        {gap == first_mtp ? Severity::kWarning : Severity::kProblem,
         gap->stored_quantized ? "list_covers_too_much" : "list_misses", gap->stored_name,
         fmt::format("{} in {}, which calls it {} ({} modules of {} are affected)", what,
                     loader_engine_title(engine), gap->runtime_name,
                     gap == first_mtp ? gaps.size() - n_main : n_main,
                     gap == first_mtp ? "the drafter" : "the model"),
         kRepair});
  }
  const std::string name = engine == LoaderEngine::kVllm     ? "vllm"
                           : engine == LoaderEngine::kSglang ? "sglang"
                                                             : "transformers";
  diagnosis.facts[name + "_gap"] = main_gap;
  diagnosis.facts[name + "_mtp_gap"] = mtp_gap;
}

void examine_places(const FolderSurvey& survey, Diagnosis& diagnosis) {
  const bool has_second = survey.hf_quant.is_object();
  diagnosis.facts["description_place"] = survey.described_in_config && has_second ? "both"
                                         : survey.described_in_config             ? "config"
                                         : has_second ? "hf_quant_config"
                                                      : "none";
  bool complete = true;
  if (has_second) {
    const Json& object = algorithm_object(survey.hf_quant);
    complete = object.contains("kv_cache_quant_algo") &&
               (object.contains("group_size") || object.contains("quantized_layers"));
  }
  diagnosis.facts["hf_quant_complete"] = complete;
  if (survey.described_in_config && has_second && survey.dialect != "modelopt") {
    diagnosis.findings.push_back(
        {Severity::kProblem, "two_descriptions", "hf_quant_config.json",
         fmt::format("config.json describes {}, and this file another dialect; programs differ in "
                     "which they read",
                     survey.dialect),
         kRepair});
  }
  if (survey.dialect == "modelopt" && !has_second) {
    diagnosis.findings.push_back({Severity::kWarning, "second_file_missing", "hf_quant_config.json",
                                  "ModelOpt exports have it, and TensorRT-LLM reads it first",
                                  kRepair});
  }
  if (!complete) {
    diagnosis.findings.push_back(
        {Severity::kWarning, "second_file_incomplete", "hf_quant_config.json",
         "lacks group_size or kv_cache_quant_algo, which engines require", kRepair});
  }
  if (survey.dialect == "none") {
    diagnosis.findings.push_back({Severity::kProblem, "description_missing", "config.json",
                                  "tensors are stored quantized, but nothing describes how",
                                  "restore quantization_config from the tool's own output"});
  }
}

}  // namespace

std::vector<std::string> unknown_argument_keys(const Json& description) {
  std::vector<std::string> unknown;
  const auto groups = description.find("config_groups");
  if (groups == description.end() || !groups->is_object()) return unknown;
  for (const auto& [name, group] : groups->items()) {
    for (const char* part : {"weights", "input_activations", "output_activations"}) {
      if (!group.is_object() || !group.contains(part) || !group[part].is_object()) continue;
      for (const auto& [key, value] : group[part].items()) {
        if (std::find(kArgumentKeys.begin(), kArgumentKeys.end(), key) != kArgumentKeys.end())
          continue;
        unknown.push_back(fmt::format("{}.{}.{}", name, part, key));
      }
    }
  }
  return unknown;
}

bool scheme_known(const FolderSurvey& survey) {
  const Json& description = survey.description;
  if (survey.dialect == "modelopt") {
    const std::string name = text_of(algorithm_object(description), "quant_algo");
    return std::find(kAlgorithms.begin(), kAlgorithms.end(), name) != kAlgorithms.end();
  }
  if (survey.dialect != "compressed-tensors") return false;
  const auto groups = description.find("config_groups");
  if (groups == description.end() || !groups->is_object() || groups->empty()) return false;
  for (const auto& [name, group] : groups->items()) {
    if (!group.is_object()) return false;
    const auto weights = group.find("weights");
    if (weights == group.end() || !weights->is_object()) continue;
    if (!is_known_argument(*weights)) return false;
    const auto inputs = group.find("input_activations");
    if (inputs != group.end() && inputs->is_object() && !is_known_argument(*inputs)) return false;
  }
  return true;
}

void examine_description(const FolderSurvey& survey, Diagnosis& diagnosis) {
  Json& facts = diagnosis.facts;
  facts["dialect"] = survey.dialect;
  facts["scheme_known"] = scheme_known(survey);
  examine_places(survey, diagnosis);
  const bool is_ct = survey.dialect == "compressed-tensors";
  const auto unknown =
      is_ct ? unknown_argument_keys(survey.description) : std::vector<std::string>();
  facts["unknown_keys"] = !unknown.empty();
  for (const std::string& key : unknown) {
    diagnosis.findings.push_back({Severity::kProblem, "key_unknown", "config.json",
                                  fmt::format("{} is no key that compressed-tensors knows, and it "
                                              "refuses such",
                                              key),
                                  kRepair});
  }
  const std::string status = is_ct ? text_of(survey.description, "quantization_status") : "";
  facts["status_compressed"] = status == "compressed";
  if (is_ct && status != "compressed") {
    diagnosis.findings.push_back(
        {Severity::kWarning, "status_wrong", "config.json",
         fmt::format("quantization_status is \"{:.40}\"; transformers unpacks only \"compressed\"",
                     status),
         kRepair});
  }
  if ((is_ct || survey.dialect == "modelopt") && facts["scheme_known"] == false) {
    diagnosis.findings.push_back(
        {Severity::kProblem, "scheme_unknown", "config.json",
         "describes no number format that engines know (NVFP4: 4 bits, float, strategy "
         "tensor_group, group size 16)",
         kRepair});
  }
  if (survey.dialect == "auto-round") {
    diagnosis.findings.push_back({Severity::kProblem, "auto_round_description", "config.json",
                                  "is AutoRound's own description, which no server reads; the "
                                  "tensors are those of compressed-tensors",
                                  kRepair});
  }
  for (const LoaderEngine engine :
       {LoaderEngine::kVllm, LoaderEngine::kSglang, LoaderEngine::kTransformers}) {
    report_gaps(survey, engine, diagnosis);
  }
}

}  // namespace nibble
