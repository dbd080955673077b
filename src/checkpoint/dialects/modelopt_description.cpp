#include "checkpoint/dialects/modelopt_description.h"

#include <fmt/format.h>

#include <map>
#include <set>
#include <utility>

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
    if (area.any_quantized()) return add_modules(area.plain_modules);
    for (const char* pattern : patterns) list.push_back(pattern);
  };
  add_area(survey.head, {"lm_head"});
  add_modules(survey.others.plain_modules);
  auto block_of = [](const LayerModules& kind) {
    return kind.parent.empty() ? kind.leaf : kind.parent.substr(0, kind.parent.find('.'));
  };
  std::map<std::string, bool> block_quantized;
  for (const LayerModules& kind : survey.kinds) {
    block_quantized[block_of(kind)] |= kind.any_quantized();
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

std::string_view algorithm(StoredAs stored) {
  if (stored.kind != WeightTarget::kNvfp4) return "FP8";
  return stored.has_input_scale ? "NVFP4" : "W4A16_NVFP4";
}

// Of all modules where they are alike.
std::string_view algorithm(const std::vector<StoredAs>& kinds) {
  return kinds.size() == 1 ? algorithm(kinds.front()) : "MIXED_PRECISION";
}

Json arguments(StoredAs stored) {
  const bool is_nvfp4 = stored.kind == WeightTarget::kNvfp4;
  Json args = Json::object({{"dynamic", false}, {"num_bits", is_nvfp4 ? 4 : 8}, {"type", "float"}});
  if (is_nvfp4) args["group_size"] = 16;
  return args;
}

Json group_json(StoredAs stored, Json targets) {
  Json group = Json::object();
  if (stored.has_input_scale) group["input_activations"] = arguments(stored);
  group["weights"] = arguments(stored);
  group["targets"] = std::move(targets);
  return group;
}

// The names of the modules that are stored so, sorted.
Json modules_stored(const OutputSummary& summary, StoredAs stored) {
  std::set<std::string> names;
  for (const OutputModule& module : summary.modules) {
    if (module.stored == stored) names.insert(module.name);
  }
  return Json(names);
}

Json quantized_layers(const OutputSummary& summary) {
  Json layers = Json::object();
  for (const OutputModule& module : summary.modules) {
    if (!module.stored.is_quantized()) continue;
    Json layer = Json::object({{"quant_algo", algorithm(module.stored)}});
    if (module.stored.kind == WeightTarget::kNvfp4) layer["group_size"] = 16;
    // Names are unique, and looking each up among tens of thousands of experts would take long.
    layers.get_ref<Json::object_t&>().emplace_back(module.name, std::move(layer));
  }
  return layers;
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
  const std::vector<StoredAs> kinds = summary.kinds();
  const bool is_mixed = kinds.size() > 1;
  Json groups = Json::object();
  for (const StoredAs stored : kinds) {
    Json targets = is_mixed ? modules_stored(summary, stored) : Json::array({"Linear"});
    groups[fmt::format("group_{}", groups.size())] = group_json(stored, std::move(targets));
  }
  Json section = Json::object();
  section["config_groups"] = std::move(groups);
  if (is_mixed) section["quantized_layers"] = quantized_layers(summary);
  // What a mixed description does not list is not quantized.
  section["ignore"] = is_mixed ? Json::array() : exclude_list(summary);
  section["quant_algo"] = algorithm(kinds);
  if (summary.has_fp8_cache) {
    section["kv_cache_scheme"] =
        Json::object({{"dynamic", false}, {"num_bits", 8}, {"type", "float"}});
  }
  section["producer"] = producer();
  section["quant_method"] = "modelopt";
  return section;
}

Json modelopt_quant_file(const OutputSummary& summary) {
  const std::vector<StoredAs> kinds = summary.kinds();
  Json quantization = Json::object();
  quantization["quant_algo"] = algorithm(kinds);
  // Engines require the key.
  quantization["kv_cache_quant_algo"] = summary.has_fp8_cache ? Json("FP8") : Json(nullptr);
  if (kinds.size() > 1) {
    quantization["quantized_layers"] = quantized_layers(summary);
  } else {
    if (kinds.front().kind == WeightTarget::kNvfp4) quantization["group_size"] = 16;
    quantization["exclude_modules"] = exclude_list(summary);
  }
  return Json::object({{"producer", producer()}, {"quantization", std::move(quantization)}});
}

}  // namespace nibble
