#include "doctor/matching/engine_view.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <map>

#include "doctor/matching/name_pattern.h"

namespace nibble {
namespace {

struct Fusion {
  std::string_view member;
  std::string_view fused;
};
constexpr std::array<Fusion, 9> kFusions = {{{"q_proj", "qkv_proj"},
                                             {"k_proj", "qkv_proj"},
                                             {"v_proj", "qkv_proj"},
                                             {"gate_proj", "gate_up_proj"},
                                             {"up_proj", "gate_up_proj"},
                                             {"in_proj_qkv", "in_proj_qkvz"},
                                             {"in_proj_z", "in_proj_qkvz"},
                                             {"in_proj_b", "in_proj_ba"},
                                             {"in_proj_a", "in_proj_ba"}}};

std::string_view last_part(std::string_view name) { return name.substr(name.rfind('.') + 1); }

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return result;
}

ModuleArea area_of(const std::string& canonical) {
  if (canonical == "lm_head") return ModuleArea::kHead;
  if (canonical.starts_with("visual.")) return ModuleArea::kVision;
  if (canonical.starts_with("mtp.")) return ModuleArea::kMtp;
  return ModuleArea::kText;
}

// Whether engines build the module as a linear layer that a description can make quantized.
bool is_offered(const SurveyedModule& module) {
  const SurveyedTensor* weight = module.part("weight");
  if (weight != nullptr && weight->shape.size() != 2) return false;
  const std::string_view leaf = last_part(module.canonical);
  return module.linear_like && leaf != "embed_tokens" && leaf != "pos_embed" && leaf != "conv1d" &&
         leaf != "gate" && leaf != "shared_expert_gate";
}

std::vector<std::string> text_list(const Json& object, const char* key) {
  std::vector<std::string> list;
  const auto at = object.find(key);
  if (at == object.end() || !at->is_array()) return list;
  list.reserve(at->size());
  for (const Json& entry : *at) {
    if (entry.is_string()) list.push_back(entry.get<std::string>());
  }
  return list;
}

std::string with_prefix(const std::string& text, std::string_view from, std::string_view to) {
  if (!text.starts_with(from)) return text;
  return std::string(to) + text.substr(from.size());
}

class EngineView {
 public:
  EngineView(const FolderSurvey& survey, LoaderEngine engine) : survey_(survey), engine_(engine) {
    const Json& description = survey.description;
    if (survey.dialect == "compressed-tensors") {
      ignore_ = text_list(description, "ignore");
      read_targets(description);
    } else {
      const auto inner = description.find("quantization");
      const Json& object = inner != description.end() && inner->is_object() ? *inner : description;
      ignore_ = text_list(object, "exclude_modules");
      for (const std::string& entry : text_list(object, "ignore")) ignore_.push_back(entry);
      const auto layers = object.find("quantized_layers");
      if (layers != object.end() && layers->is_object()) {
        is_mixed_ = true;
        for (const auto& [name, layer] : layers->items()) listed_.insert(name);
      }
    }
  }

  std::vector<ListGap> gaps() const {
    std::map<std::string, std::vector<const SurveyedModule*>> built;
    for (const auto& [name, module] : survey_.modules) {
      if (!is_offered(module)) continue;
      if (engine_ == LoaderEngine::kTransformers && area_of(module.canonical) == ModuleArea::kMtp) {
        continue;  // the layer is not built
      }
      built[built_name(module)].push_back(&module);
    }
    std::vector<ListGap> gaps;
    for (const auto& [name, members] : built) {
      for (const SurveyedModule* member : members) {
        const bool stored = member->storage != Storage::kPlain;
        if (would_be_quantized(name, *member) == stored) continue;
        gaps.push_back({area_of(member->canonical), name, member->name, stored});
        break;
      }
    }
    return gaps;
  }

 private:
  void read_targets(const Json& description) {
    const auto groups = description.find("config_groups");
    if (groups == description.end() || !groups->is_object()) return;
    for (const auto& [name, group] : groups->items()) {
      if (!group.is_object()) continue;
      for (std::string& target : text_list(group, "targets")) targets_.push_back(std::move(target));
    }
  }

  // The module's own name in the engine, before anything is fused.
  std::string runtime_name(const std::string& stored, const std::string& canonical) const {
    if (engine_ == LoaderEngine::kTransformers) return stored;
    const ModuleArea area = area_of(canonical);
    if (area == ModuleArea::kVision || area == ModuleArea::kMtp) return canonical;
    const bool is_vllm = engine_ == LoaderEngine::kVllm && !is_text_only();
    if (area == ModuleArea::kHead) return is_vllm ? "language_model.lm_head" : "lm_head";
    return (is_vllm ? "language_model.model." : "model.") + canonical;
  }

  std::string built_name(const SurveyedModule& module) const {
    const std::string name = runtime_name(module.name, module.canonical);
    if (engine_ == LoaderEngine::kTransformers || area_of(module.canonical) == ModuleArea::kVision)
      return name;
    const std::string fused = fused_name(name);
    return fused.empty() ? name : fused;
  }

  bool is_text_only() const {
    return !(survey_.config.is_object() && survey_.config.contains("vision_config"));
  }

  // An entry of the list as the engine rewrites it before matching.
  std::string mapped(const std::string& entry) const {
    if (engine_ == LoaderEngine::kTransformers || entry.starts_with("re:")) return entry;
    const bool is_vllm = engine_ == LoaderEngine::kVllm && !is_text_only();
    std::string name = with_prefix(entry, "model.visual.", "visual.");
    if (name == "model.visual*") name = "visual*";
    if (name == "model.visual") name = "visual";
    name = with_prefix(name, "model.language_model.", is_vllm ? "language_model.model." : "model.");
    return is_vllm ? name : with_prefix(name, "language_model.model.", "model.");
  }

  bool would_be_quantized(const std::string& built, const SurveyedModule& module) const {
    const std::string own = runtime_name(module.name, module.canonical);
    if (survey_.dialect == "compressed-tensors") {
      return !is_ignored(own, built) && is_targeted(own, built, module);
    }
    if (is_mixed_) {
      return listed_.count(module.name) != 0 || listed_.count(own) != 0 ||
             listed_.count(module.canonical) != 0;
    }
    if (module.canonical == "mtp.fc") return false;  // always built plain with this dialect
    return !is_excluded(own, built);
  }

  // compressed-tensors: names are compared one by one; a fused layer asks for its members.
  bool is_ignored(const std::string& own, const std::string& built) const {
    return std::any_of(ignore_.begin(), ignore_.end(), [&](const std::string& raw) {
      if (raw.starts_with("re:")) return matches_from_start(raw.substr(3), own);
      const std::string entry = lower(mapped(raw));
      if (entry == lower(own) || entry == lower(built)) return true;
      return engine_ == LoaderEngine::kSglang && !entry.empty() &&
             lower(own).find(entry) != std::string::npos;
    });
  }

  bool is_targeted(const std::string& own, const std::string& built,
                   const SurveyedModule& module) const {
    // Only transformers counts the head among the linear layers.
    const bool is_linear =
        engine_ == LoaderEngine::kTransformers || area_of(module.canonical) != ModuleArea::kHead;
    return std::any_of(targets_.begin(), targets_.end(), [&](const std::string& raw) {
      if (raw == "Linear" || raw == "LinearBase") return is_linear;
      if (raw.starts_with("re:")) {
        return matches_from_start(raw.substr(3), own) || matches_from_start(raw.substr(3), built);
      }
      const std::string target = mapped(raw);
      return target == own || target == built;
    });
  }

  // ModelOpt: exact names, parts of the text, and globs whose closing star stands at a dot.
  bool is_excluded(const std::string& own, const std::string& built) const {
    return std::any_of(ignore_.begin(), ignore_.end(), [&](const std::string& raw) {
      const std::string entry = mapped(raw);
      if (entry == own || entry == built) return true;
      if (entry.find_first_of("*?[") == std::string::npos) {
        return engine_ != LoaderEngine::kSglang && built.find(entry) != std::string::npos;
      }
      if (!entry.ends_with('*')) return matches_glob(entry, built);
      const std::string stem = entry.substr(0, entry.size() - 1);
      return matches_glob(stem, built) || matches_glob(stem + ".*", built);
    });
  }

  const FolderSurvey& survey_;
  LoaderEngine engine_;
  std::vector<std::string> ignore_;
  std::vector<std::string> targets_;
  std::set<std::string> listed_;
  bool is_mixed_ = false;
};

}  // namespace

std::string_view loader_engine_title(LoaderEngine engine) {
  switch (engine) {
    case LoaderEngine::kVllm:
      return "vLLM";
    case LoaderEngine::kSglang:
      return "SGLang";
    case LoaderEngine::kTransformers:
      return "transformers";
  }
  return "";
}

std::string fused_name(std::string_view module) {
  const std::string_view leaf = last_part(module);
  for (const Fusion& fusion : kFusions) {
    if (fusion.member != leaf) continue;
    return std::string(module.substr(0, module.size() - leaf.size())) + std::string(fusion.fused);
  }
  return {};
}

std::vector<ListGap> list_gaps(const FolderSurvey& survey, LoaderEngine engine) {
  const bool has_list = survey.dialect == "compressed-tensors" || survey.dialect == "modelopt";
  if (!has_list || !survey.description.is_object()) return {};
  if (engine == LoaderEngine::kTransformers && survey.dialect == "modelopt") return {};
  return EngineView(survey, engine).gaps();
}

}  // namespace nibble
