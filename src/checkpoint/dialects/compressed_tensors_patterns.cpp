// The `ignore` and `targets` lists of compressed-tensors.
//
// Entries are regular expressions ("re:", matched from the start of the module name) that end in
// the name of a projection: engines rename prefixes and fuse projections, so exact names would
// miss, and anything wider would catch modules that are stored otherwise.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "checkpoint/dialects/compressed_tensors_description.h"
#include "checkpoint/dialects/module_kinds.h"
#include "checkpoint/storage/canonical_name.h"

namespace nibble {
namespace {

// Regular expression for a dotted path; "#" stands for any number.
std::string path_pattern(std::string_view path) {
  std::string pattern;
  for (const char c : path) {
    if (c == '#') {
      pattern += "\\d+";
    } else if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '_' || static_cast<unsigned char>(c) >= 0x80) {
      pattern += c;
    } else {
      pattern += '\\';
      pattern += c;
    }
  }
  return pattern;
}

std::string one_of(const std::vector<std::string>& choices) {
  return choices.size() == 1 ? choices.front() : fmt::format("({})", fmt::join(choices, "|"));
}

// Leaves of one parent that are stored alike in the same layers; no layers means in all of them.
using LeafGroups =
    std::map<std::pair<std::string, std::vector<uint64_t>>, std::vector<std::string>>;

LeafGroups group_leaves(const std::vector<LayerModules>& kinds, StoredAs stored) {
  LeafGroups groups;
  for (const LayerModules& kind : kinds) {
    const auto found = kind.layers.find(stored);
    if (found == kind.layers.end()) continue;
    std::vector<uint64_t> layers;
    if (kind.layers.size() > 1) layers.assign(found->second.begin(), found->second.end());
    groups[{kind.parent, layers}].push_back(kind.leaf);
  }
  for (auto& group : groups) {
    std::vector<std::string>& leaves = group.second;
    for (const FusedModule& fused : fused_modules()) {
      const bool all = std::all_of(fused.members.begin(), fused.members.end(), [&](auto member) {
        return std::find(leaves.begin(), leaves.end(), member) != leaves.end();
      });
      if (all) leaves.emplace_back(fused.name);
    }
  }
  return groups;
}

// Patterns of the modules of the decoder layers that are stored so.
void add_layers(const std::vector<LayerModules>& kinds, StoredAs stored, Json& list) {
  for (const auto& [key, leaves] : group_leaves(kinds, stored)) {
    const auto& [parent, layers] = key;
    std::string pattern = "re:.*";
    if (!layers.empty()) {
      std::vector<std::string> numbers;
      numbers.reserve(layers.size());
      for (const uint64_t layer : layers) numbers.push_back(fmt::format("{}", layer));
      pattern += fmt::format("layers\\.{}\\.", one_of(numbers));
    }
    if (!parent.empty()) pattern += path_pattern(parent) + "\\.";
    std::vector<std::string> choices;
    choices.reserve(leaves.size());
    for (const std::string& leaf : leaves) choices.push_back(path_pattern(leaf));
    list.push_back(pattern + one_of(choices) + "$");
  }
}

std::string module_pattern(const std::string& module) {
  return fmt::format("re:.*{}$", path_pattern(canonical_name(module)));
}

void add_modules(const ModelArea& area, Json& ignore) {
  for (const std::string& module : area.plain_modules) {
    ignore.push_back(module_pattern(module));
  }
}

void add_area(const ModelArea& area, std::initializer_list<const char*> patterns, Json& ignore) {
  if (area.any_quantized()) {
    add_modules(area, ignore);
  } else {
    for (const char* pattern : patterns) ignore.push_back(pattern);
  }
}

}  // namespace

Json compressed_tensors_ignore(const OutputSummary& summary) {
  const ModuleSurvey survey = survey_modules(summary);
  Json ignore = Json::array();
  // Both forms: some engines compare names, others rename the head and keep only patterns.
  if (!survey.head.any_quantized()) {
    ignore.push_back("lm_head");
    ignore.push_back("re:.*lm_head");
  }
  add_modules(survey.others, ignore);
  add_layers(survey.kinds, {}, ignore);
  add_area(survey.vision, {"re:.*visual.*"}, ignore);
  // The first form is a literal that some engines look for.
  add_area(survey.mtp, {"re:^mtp.*", "re:.*mtp\\..*"}, ignore);
  return ignore;
}

Json compressed_tensors_targets(const OutputSummary& summary, StoredAs stored) {
  const ModuleSurvey survey = survey_modules(summary);
  Json targets = Json::array();
  const bool has_head =
      std::any_of(survey.head.quantized_modules.begin(), survey.head.quantized_modules.end(),
                  [&](const OutputModule& module) { return module.stored == stored; });
  if (summary.kinds().size() == 1) {
    targets.push_back("Linear");
  } else {
    add_layers(survey.kinds, stored, targets);
    for (const ModelArea* area : {&survey.vision, &survey.mtp, &survey.others}) {
      for (const OutputModule& module : area->quantized_modules) {
        if (module.stored == stored) targets.push_back(module_pattern(module.name));
      }
    }
  }
  // Loaders do not count the head among the linear layers.
  if (has_head) targets.push_back("re:.*lm_head");
  return targets;
}

}  // namespace nibble
