#include "checkpoint/dialects/modelopt_description.h"

#include <fmt/format.h>

#include <map>

#include "checkpoint/dialects/module_kinds.h"

namespace nibble {
namespace {

std::string text_field(const Json& object, const char* key) {
  const auto at = object.find(key);
  return at != object.end() && at->is_string() ? at->get<std::string>() : std::string();
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
