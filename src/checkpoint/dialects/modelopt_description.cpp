#include "checkpoint/dialects/modelopt_description.h"

#include <fmt/format.h>

#include <map>

#include "checkpoint/dialects/module_kinds.h"

namespace nibble {
namespace {

// The object that holds quant_algo: some files wrap it in "quantization".
const Json& algorithm_object(const Json& description) {
  const auto inner = description.find("quantization");
  return inner != description.end() && inner->is_object() ? *inner : description;
}

std::string text_field(const Json& object, const char* key) {
  const auto at = object.find(key);
  return at != object.end() && at->is_string() ? at->get<std::string>() : std::string();
}

Error unsupported(const std::string& what, const std::string& subject) {
  return Error(ErrorCode::kUnsupported,
               fmt::format("is a ModelOpt checkpoint with {}; {}", what, supported_storage_text()),
               subject);
}

Status check_group_size(const Json& object, const std::string& subject) {
  const auto size = object.find("group_size");
  if (size == object.end() || size->is_null() || *size == 16) return {};
  return unsupported(fmt::format("blocks of {:.40} elements instead of 16", size->dump()), subject);
}

// The patterns of modules that are not quantized: exact stored names, or a star at a dot's edge.
// Engines do not match stars inside the last part of a name.
Json exclude_list(const OutputSummary& summary) {
  const ModuleSurvey survey = survey_modules(summary);
  Json list = Json::array();
  auto add_modules = [&](const std::vector<std::string>& modules) {
    for (const std::string& module : modules) list.push_back(module);
  };
  auto add_area = [&](const ModelArea& area, std::initializer_list<const char*> patterns) {
    if (area.any_quantized) return add_modules(area.plain_modules);
    for (const char* pattern : patterns) list.push_back(pattern);
  };
  add_area(survey.head, {"lm_head"});
  add_modules(survey.others.plain_modules);
  auto block_of = [](const LayerModules& kind) {
    return kind.parent.empty() ? kind.leaf : kind.parent.substr(0, kind.parent.find('.'));
  };
  std::map<std::string, bool> block_quantized;
  for (const LayerModules& kind : survey.kinds) {
    block_quantized[block_of(kind)] |= !kind.quantized_layers.empty();
  }
  for (const auto& [block, quantized] : block_quantized) {
    if (!quantized) list.push_back(fmt::format("*{}*", block));
  }
  for (const LayerModules& kind : survey.kinds) {
    if (block_quantized[block_of(kind)]) add_modules(kind.plain_modules);
  }
  add_area(survey.vision, {"model.visual*", "*visual*"});
  add_area(survey.mtp, {"mtp.layers.0*", "mtp.fc", "mtp*"});
  return list;
}

Json producer() { return Json::object({{"name", "modelopt"}, {"version", "0.47.0"}}); }

std::string_view algorithm(const OutputSummary& summary) {
  return summary.has_input_scales ? "NVFP4" : "W4A16_NVFP4";
}

Json arguments() {
  return Json::object({{"dynamic", false}, {"num_bits", 4}, {"type", "float"}, {"group_size", 16}});
}

}  // namespace

bool is_modelopt_description(DescriptionPlace place, const Json& description) {
  if (place == DescriptionPlace::kNone) return false;
  const std::string method = text_field(description, "quant_method");
  if (!method.empty()) return method.starts_with("modelopt");
  const auto made_by = description.find("producer");
  if (made_by != description.end() && made_by->is_object()) {
    return text_field(*made_by, "name") == "modelopt";
  }
  return place == DescriptionPlace::kHfQuantConfig;
}

Status check_modelopt_description(const Json& description, const std::string& subject) {
  const Json& object = algorithm_object(description);
  const std::string name = text_field(object, "quant_algo");
  if (name.empty()) {
    return Error(ErrorCode::kCorrupt, "its ModelOpt description has no quant_algo", subject);
  }
  if (name != "NVFP4" && name != "W4A16_NVFP4") {
    return unsupported(fmt::format("the algorithm {:.80}", name), subject);
  }
  RETURN_IF_ERROR(check_group_size(object, subject));
  const auto groups = description.find("config_groups");
  if (groups == description.end() || !groups->is_object()) return {};
  for (const auto& [group_name, group] : groups->items()) {
    const auto weights = group.is_object() ? group.find("weights") : group.end();
    if (!group.is_object() || weights == group.end() || !weights->is_object()) continue;
    RETURN_IF_ERROR(check_group_size(*weights, subject));
  }
  return {};
}

Json modelopt_config_section(const OutputSummary& summary) {
  Json group = Json::object();
  if (summary.has_input_scales) group["input_activations"] = arguments();
  group["weights"] = arguments();
  group["targets"] = Json::array({"Linear"});
  Json section = Json::object();
  section["config_groups"] = Json::object({{"group_0", std::move(group)}});
  section["ignore"] = exclude_list(summary);
  section["quant_algo"] = algorithm(summary);
  section["producer"] = producer();
  section["quant_method"] = "modelopt";
  return section;
}

Json modelopt_quant_file(const OutputSummary& summary) {
  Json quantization = Json::object();
  quantization["quant_algo"] = algorithm(summary);
  quantization["kv_cache_quant_algo"] = nullptr;  // engines require the key
  quantization["group_size"] = 16;
  quantization["exclude_modules"] = exclude_list(summary);
  return Json::object({{"producer", producer()}, {"quantization", std::move(quantization)}});
}

}  // namespace nibble
