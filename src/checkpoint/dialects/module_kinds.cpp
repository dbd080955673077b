#include "checkpoint/dialects/module_kinds.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "checkpoint/storage/canonical_name.h"

namespace nibble {
namespace {

constexpr std::string_view kLayers = "layers.";

constexpr std::array<FusedModule, 4> kFusedModules = {{
    {"qkv_proj", {"q_proj", "k_proj", "v_proj"}},
    {"gate_up_proj", {"gate_proj", "up_proj", "up_proj"}},
    {"in_proj_qkvz", {"in_proj_qkv", "in_proj_z", "in_proj_z"}},
    {"in_proj_ba", {"in_proj_b", "in_proj_a", "in_proj_a"}},
}};

std::optional<uint64_t> to_number(std::string_view text) {
  uint64_t value = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || parsed.ec != std::errc() || parsed.ptr != text.data() + text.size()) {
    return std::nullopt;
  }
  return value;
}

// "mlp.experts.7.up_proj" -> parent "mlp.experts.#", leaf "up_proj".
void split_path(std::string_view path, std::string& parent, std::string& leaf) {
  while (true) {
    const size_t dot = path.find('.');
    const std::string_view step = path.substr(0, dot);
    if (dot == std::string_view::npos) {
      leaf = step;
      return;
    }
    if (!parent.empty()) parent += '.';
    parent += to_number(step) ? std::string_view("#") : step;
    path.remove_prefix(dot + 1);
  }
}

void add_to_layer(const OutputModule& module, uint64_t layer, std::string_view path,
                  std::vector<LayerModules>& kinds) {
  LayerModules kind;
  split_path(path, kind.parent, kind.leaf);
  auto at = std::find_if(kinds.begin(), kinds.end(), [&](const LayerModules& known) {
    return known.parent == kind.parent && known.leaf == kind.leaf;
  });
  if (at == kinds.end()) at = kinds.insert(kinds.end(), std::move(kind));
  at->layers[module.stored].insert(layer);
  if (!module.stored.is_quantized()) at->plain_modules.push_back(module.name);
}

void add_to_area(const OutputModule& module, ModelArea& area) {
  if (module.stored.is_quantized()) {
    area.quantized_modules.push_back(module);
  } else {
    area.plain_modules.push_back(module.name);
  }
}

}  // namespace

std::span<const FusedModule> fused_modules() { return kFusedModules; }

std::string fused_module(std::string_view module) {
  const size_t leaf = module.find_last_of('.') + 1;
  for (const FusedModule& fused : kFusedModules) {
    for (const std::string_view member : fused.members) {
      if (module.substr(leaf) != member) continue;
      return std::string(module.substr(0, leaf)) + std::string(fused.name);
    }
  }
  return {};
}

bool LayerModules::any_quantized() const {
  return std::any_of(layers.begin(), layers.end(),
                     [](const auto& entry) { return entry.first.is_quantized(); });
}

std::vector<StoredAs> OutputSummary::kinds() const {
  std::vector<StoredAs> kinds;
  for (const OutputModule& module : modules) {
    const bool is_known = std::find(kinds.begin(), kinds.end(), module.stored) != kinds.end();
    if (module.stored.is_quantized() && !is_known) kinds.push_back(module.stored);
  }
  return kinds;
}

ModuleSurvey survey_modules(const OutputSummary& summary) {
  ModuleSurvey survey;
  for (const OutputModule& module : summary.modules) {
    if (!module.linear_like) continue;
    std::string_view name = canonical_name(module.name);
    if (name == "lm_head") {
      add_to_area(module, survey.head);
    } else if (name.starts_with("visual.")) {
      add_to_area(module, survey.vision);
    } else if (name.starts_with("mtp.")) {
      add_to_area(module, survey.mtp);
    } else if (name.starts_with(kLayers)) {
      name.remove_prefix(kLayers.size());
      const size_t dot = name.find('.');
      const auto layer = to_number(name.substr(0, dot));
      if (dot == std::string_view::npos || !layer) {
        add_to_area(module, survey.others);
      } else {
        add_to_layer(module, *layer, name.substr(dot + 1), survey.kinds);
      }
    } else {
      add_to_area(module, survey.others);
    }
  }
  return survey;
}

}  // namespace nibble
