// Parts, types and scalar scales of quantized matrices.
#include <fmt/format.h>

#include <cmath>
#include <map>

#include "checkpoint/description.h"
#include "doctor/matching/engine_view.h"
#include "doctor/survey/examination.h"

namespace nibble {
namespace {

// A multiplier above this would mean weights or activations beyond any trained model's: it was
// stored inverted.
constexpr float kMaxWeightScale = 1.0f;
constexpr float kMaxInputScale = 16.0f;
// How reports call the groups that engines run as one.
std::string group_name(std::string fused) {
  for (const std::string_view part : {"in_proj_", "_proj"}) {
    const size_t at = fused.rfind(part);
    if (at != std::string::npos && at > fused.rfind('.')) fused.erase(at, part.size());
  }
  return fused;
}

// amax / 448 of cached keys and values: from all but nothing to far beyond BF16 practice.
constexpr float kMinCacheScale = 1e-6f;
constexpr float kMaxCacheScale = 1e3f;

class MatrixExamination {
 public:
  MatrixExamination(const FolderSurvey& survey, Diagnosis& diagnosis)
      : survey_(survey), diagnosis_(diagnosis) {
    is_divisor_ = survey.dialect == "compressed-tensors" || survey.dialect == "auto-round";
  }

  void run() {
    for (const auto& [name, module] : survey_.modules) {
      if (module.storage == Storage::kNvfp4 && module.part("input_scale") != nullptr) {
        n_with_input_ += 1;
      } else if (module.part("input_global_scale") != nullptr) {
        n_with_input_ += 1;
      }
    }
    for (const auto& [name, module] : survey_.modules) {
      if (module.storage == Storage::kNvfp4) examine_nvfp4(module);
      if (module.storage == Storage::kFp8) examine_fp8(module);
    }
    examine_siblings();
    examine_cache_scales();
    diagnosis_.facts["parts_complete"] = parts_complete_;
    diagnosis_.facts["scales_valid"] = scales_valid_;
    diagnosis_.facts["siblings_equal"] = siblings_equal_;
  }

 private:
  void add(const char* code, const std::string& subject, std::string message, const char* fix) {
    diagnosis_.findings.push_back({Severity::kProblem, code, subject, std::move(message), fix});
  }

  void need(const SurveyedModule& module, const char* part) {
    if (module.part(part) != nullptr) return;
    parts_complete_ = false;
    add("part_missing", module.name + "." + part,
        "is not stored, but other parts of the quantized matrix are",
        "export again; some loaders compute with uninitialised memory instead");
  }

  bool is_nvfp4_w4a4() const {
    const auto kind = diagnosis_.facts.find("activations");
    return n_with_input_ > 0 || (kind != diagnosis_.facts.end() && *kind == "w4a4");
  }

  void examine_nvfp4(const SurveyedModule& module) {
    const char* codes = is_divisor_ ? "weight_packed" : "weight";
    const char* global = is_divisor_ ? "weight_global_scale" : "weight_scale_2";
    const char* input = is_divisor_ ? "input_global_scale" : "input_scale";
    need(module, codes);
    need(module, "weight_scale");
    need(module, global);
    if (is_nvfp4_w4a4() && diagnosis_.facts.value("activations", "") != "mixed") {
      need(module, input);
    }
    examine_block_scales(module, codes);
    examine_scalar(module, global, kMaxWeightScale);
    examine_scalar(module, input, kMaxInputScale);
    note_row_length(module, codes);
  }

  void examine_block_scales(const SurveyedModule& module, const char* codes) {
    const SurveyedTensor* scales = module.part("weight_scale");
    const SurveyedTensor* weight = module.part(codes);
    if (scales == nullptr) return;
    const std::string name = module.name + ".weight_scale";
    if (scales->dtype != DType::kF8E4M3) {
      scales_valid_ = false;
      add("scale_type_wrong", name,
          fmt::format("is {}; block scales are F8_E4M3", dtype_name(scales->dtype)),
          "export again; loaders take the bytes without a warning");
    }
    if (weight == nullptr || weight->shape.size() != 2) return;
    const Shape expected = {weight->shape[0], weight->shape[1] / 8};
    if (scales->shape == expected) return;
    scales_valid_ = false;
    add("scale_shape_wrong", name,
        fmt::format("is {}, {} was expected: one scale for 16 values of a row, not swizzled",
                    shape_text(scales->shape), shape_text(expected)),
        "export again");
  }

  void examine_scalar(const SurveyedModule& module, const char* part, float most) {
    const SurveyedTensor* tensor = module.part(part);
    if (tensor == nullptr) return;
    const std::string name = module.name + "." + part;
    const float value = tensor->value.value_or(std::nanf(""));
    if (!std::isfinite(value) || value <= 0.0f) {
      scales_valid_ = false;
      add("scale_invalid", name,
          fmt::format("is {}; a finite number above 0 was expected",
                      tensor->value ? fmt::format("{}", value) : "not one float"),
          "quantize again");
      return;
    }
    const float multiplier = is_divisor_ ? 1.0f / value : value;
    if (multiplier <= most) return;
    scales_valid_ = false;
    add("scale_inverted", name,
        fmt::format("is {}, which means a multiplier of {}: it was probably stored inverted", value,
                    multiplier),
        "quantize again; compressed-tensors stores divisors, ModelOpt multipliers");
  }

  void note_row_length(const SurveyedModule& module, const char* codes) {
    const SurveyedTensor* weight = module.part(codes);
    if (weight == nullptr || weight->shape.size() != 2 || weight->shape[1] % 32 == 0) return;
    diagnosis_.findings.push_back(
        {Severity::kNote, "rows_not_of_64", module.name,
         fmt::format("has rows of {} values; GGUF holds NVFP4 in blocks of 64",
                     2 * weight->shape[1]),
         "nothing, unless the model is to be converted to GGUF in NVFP4"});
  }

  void examine_fp8(const SurveyedModule& module) {
    if (module.part("weight_scale_inv") != nullptr) return;
    need(module, "weight");
    need(module, "weight_scale");
    const SurveyedTensor* scale = module.part("weight_scale");
    if (scale == nullptr || !scale->value) return;
    if (std::isfinite(*scale->value) && *scale->value > 0.0f) return;
    scales_valid_ = false;
    add("scale_invalid", module.name + ".weight_scale",
        fmt::format("is {}; a finite number above 0 was expected", *scale->value),
        "quantize again");
  }

  void examine_siblings() {
    std::map<std::string, std::vector<const SurveyedModule*>> groups;
    for (const auto& [name, module] : survey_.modules) {
      const std::string fused = fused_name(module.canonical);
      if (!fused.empty() && module.storage != Storage::kPlain)
        groups[group_name(fused)].push_back(&module);
    }
    for (const auto& [name, members] : groups) {
      for (const char* part :
           {"weight_global_scale", "weight_scale_2", "input_global_scale", "input_scale"}) {
        compare_siblings(name, members, part);
      }
    }
  }

  void compare_siblings(const std::string& group, const std::vector<const SurveyedModule*>& members,
                        const std::string& part) {
    const SurveyedTensor* first = members.front()->part(part);
    for (const SurveyedModule* member : members) {
      const SurveyedTensor* own = member->part(part);
      if (first == nullptr || own == nullptr || !first->value || !own->value) continue;
      if (*first->value == *own->value) continue;
      siblings_equal_ = false;
      const double off = 100.0 * std::fabs(1.0 - static_cast<double>(*own->value) /
                                                     static_cast<double>(*first->value));
      add("siblings_differ", group,
          fmt::format("{} is {} in {} and {} in {} ({:.1f} % apart)", part, *first->value,
                      members.front()->name, *own->value, member->name, off),
          "quantize again with one scale for the group: engines fuse its members and use one");
      return;
    }
  }

  void examine_cache_scales() {
    bool any = false;
    bool good = true;
    for (const auto& [name, tensor] : survey_.tensors) {
      if (!name.ends_with(".k_scale") && !name.ends_with(".v_scale")) continue;
      any = true;
      const float value = tensor.value.value_or(std::nanf(""));
      if (value >= kMinCacheScale && value <= kMaxCacheScale) continue;
      good = false;
      add("cache_scale_invalid", canonical_tensor_name(name),
          fmt::format("is {}; amax / 448 of the cached values was expected, usually 0.001 to 1",
                      value),
          "calibrate again, or remove kv_cache_scheme and serve with a BF16 cache");
    }
    diagnosis_.facts["cache_scales"] = !any ? "none" : good ? "good" : "bad";
  }

  const FolderSurvey& survey_;
  Diagnosis& diagnosis_;
  bool is_divisor_ = false;
  size_t n_with_input_ = 0;
  bool parts_complete_ = true;
  bool scales_valid_ = true;
  bool siblings_equal_ = true;
};

}  // namespace

void examine_matrices(const FolderSurvey& survey, Diagnosis& diagnosis) {
  MatrixExamination(survey, diagnosis).run();
}

}  // namespace nibble
