#include "quantize/recipe.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <initializer_list>
#include <span>

#include "core/bundled_files.h"
#include "core/check.h"
#include "core/file.h"
#include "core/json.h"
#include "core/nearest_name.h"
#include "quantize/quantize.h"

namespace nibble {
namespace {

constexpr uint64_t kMaxRecipeBytes = uint64_t{1} << 20;
constexpr std::string_view kFolder = "recipes/";
constexpr std::string_view kEnding = ".json";

struct NamedTarget {
  std::string_view name;
  MatrixTarget target;
};
constexpr std::array<NamedTarget, 5> kTargets = {{
    {"keep", {WeightTarget::kKeep, false}},
    {"nvfp4-w4a16", {WeightTarget::kNvfp4, false}},
    {"nvfp4-w4a4", {WeightTarget::kNvfp4, true}},
    {"fp8-tensor", {WeightTarget::kFp8Tensor, true}},
    {"fp8-channel", {WeightTarget::kFp8Channel, false}},
}};

// The roles whose matrices can be quantized.
constexpr std::array kRoles = {
    TensorRole::kAttentionInput, TensorRole::kAttentionOutput, TensorRole::kDeltaInput,
    TensorRole::kDeltaGate,      TensorRole::kDeltaOutput,     TensorRole::kMlpInput,
    TensorRole::kMlpOutput,      TensorRole::kExpertInput,     TensorRole::kExpertOutput,
    TensorRole::kHead,
};

std::vector<std::string> role_names() {
  std::vector<std::string> names;
  names.reserve(kRoles.size());
  for (const TensorRole role : kRoles) names.emplace_back(role_name(role));
  return names;
}

std::vector<std::string> target_names() {
  std::vector<std::string> names;
  names.reserve(kTargets.size());
  for (const NamedTarget& named : kTargets) names.emplace_back(named.name);
  return names;
}

// "unknown role "mlp inputs": did you mean "mlp input"?"
std::string unknown_text(std::string_view kind, std::string_view given,
                         std::span<const std::string> known) {
  const auto near = nearest_name(given, known);
  return near ? fmt::format("unknown {} \"{:.80}\": did you mean \"{}\"?", kind, given, *near)
              : fmt::format("unknown {} \"{:.80}\"; there are: {}", kind, given,
                            fmt::join(known, ", "));
}

// Reads one recipe; every error names the recipe and the place in it.
class RecipeReader {
 public:
  explicit RecipeReader(const std::string& name) { recipe_.name = name; }

  Result<Recipe> read(const Json& json) {
    RETURN_IF_ERROR(check_object(json, "recipe", {"description", "rules", "kv_cache"}));
    if (const auto at = json.find("description"); at != json.end()) {
      if (!at->is_string()) return fail("\"description\" must be a text");
      recipe_.description = at->get<std::string>();
    }
    RETURN_IF_ERROR(read_cache(json));
    const auto rules = json.find("rules");
    if (rules == json.end() || !rules->is_array() || rules->empty()) {
      return fail("\"rules\" must be a list of at least one rule");
    }
    recipe_.rules.reserve(rules->size());
    for (const Json& rule : *rules) {
      place_ = fmt::format("rule {}: ", recipe_.rules.size() + 1);
      RETURN_IF_ERROR(read_rule(rule));
    }
    return std::move(recipe_);
  }

 private:
  Error fail(const std::string& what) const {
    return Error(ErrorCode::kInvalidArgument, place_ + what, "recipe " + recipe_.name);
  }

  Status check_object(const Json& json, std::string_view kind,
                      std::initializer_list<const char*> keys) const {
    if (!json.is_object()) return fail(fmt::format("a {} must be a JSON object", kind));
    const std::vector<std::string> known(keys.begin(), keys.end());
    for (const auto& [key, value] : json.items()) {
      if (std::find(known.begin(), known.end(), key) == known.end()) {
        return fail(unknown_text("key", key, known));
      }
    }
    return {};
  }

  Status read_cache(const Json& json) {
    const auto at = json.find("kv_cache");
    if (at == json.end()) return {};
    if (*at != "fp8" && *at != "keep") return fail("\"kv_cache\" must be \"fp8\" or \"keep\"");
    recipe_.fp8_cache = *at == "fp8";
    return {};
  }

  Status read_rule(const Json& json) {
    RETURN_IF_ERROR(check_object(json, "rule", {"roles", "modules", "target"}));
    RecipeRule rule;
    RETURN_IF_ERROR(for_each_text(json, "roles", [&](const std::string& name) -> Status {
      const auto at = std::find_if(kRoles.begin(), kRoles.end(),
                                   [&](TensorRole role) { return role_name(role) == name; });
      if (at == kRoles.end()) return fail(unknown_text("role", name, role_names()));
      rule.roles.push_back(*at);
      return {};
    }));
    RETURN_IF_ERROR(for_each_text(json, "modules", [&](const std::string& pattern) -> Status {
      rule.modules.push_back(pattern);
      return {};
    }));
    if (rule.roles.empty() && rule.modules.empty()) {
      return fail("a rule needs \"roles\" or \"modules\"");
    }
    const auto target = json.find("target");
    if (target == json.end() || !target->is_string()) {
      return fail(
          fmt::format("a rule needs a \"target\", one of: {}", fmt::join(target_names(), ", ")));
    }
    const auto known = target_from_name(target->get<std::string>());
    if (!known) return fail(unknown_text("target", target->get<std::string>(), target_names()));
    rule.target = *known;
    recipe_.rules.push_back(std::move(rule));
    return {};
  }

  template <typename Visit>
  Status for_each_text(const Json& json, const char* key, const Visit& visit) const {
    const auto at = json.find(key);
    if (at == json.end()) return {};
    if (!at->is_array() || at->empty()) {
      return fail(fmt::format("\"{}\" must be a list of at least one text", key));
    }
    for (const Json& text : *at) {
      if (!text.is_string() || text.get<std::string>().empty()) {
        return fail(fmt::format("\"{}\" must hold texts", key));
      }
      RETURN_IF_ERROR(visit(text.get<std::string>()));
    }
    return {};
  }

  Recipe recipe_;
  std::string place_;
};

const std::vector<Recipe>& bundled_recipes() {
  static const std::vector<Recipe> recipes = [] {
    std::vector<Recipe> list;
    for (const BundledFile& file : bundled_files()) {
      std::string_view name = file.path;
      if (!name.starts_with(kFolder) || !name.ends_with(kEnding)) continue;
      name = name.substr(kFolder.size(), name.size() - kFolder.size() - kEnding.size());
      auto recipe = parse_recipe(file.content(), std::string(name));
      CHECK(recipe.has_value());
      list.push_back(std::move(*recipe));
    }
    return list;
  }();
  return recipes;
}

}  // namespace

std::string_view target_name(MatrixTarget target) {
  for (const NamedTarget& named : kTargets) {
    if (named.target.weights == target.weights &&
        (named.target.has_input_scale == target.has_input_scale)) {
      return named.name;
    }
  }
  return "keep";
}

std::optional<MatrixTarget> target_from_name(std::string_view name) {
  for (const NamedTarget& named : kTargets) {
    if (named.name == name) return named.target;
  }
  return std::nullopt;
}

Result<Recipe> parse_recipe(std::string_view text, const std::string& name) {
  JsonLimits limits;
  limits.max_depth = 8;
  limits.reject_duplicate_keys = true;
  ASSIGN_OR_RETURN(const Json json, parse_json(text, "recipe " + name, limits));
  return RecipeReader(name).read(json);
}

Result<Recipe> load_recipe(const std::string& name_or_path) {
  std::vector<std::string> names;
  for (const Recipe& recipe : bundled_recipes()) {
    if (recipe.name == name_or_path) return recipe;
    names.push_back(recipe.name);
  }
  const bool is_path =
      name_or_path.find('/') != std::string::npos || name_or_path.ends_with(kEnding);
  if (!is_path) {
    const auto near = nearest_name(name_or_path, names);
    return Error(
        ErrorCode::kInvalidArgument,
        fmt::format("there is no recipe \"{}\"{}; choose one of {}, or give the path of a recipe "
                    "file, NAME.json",
                    name_or_path, near ? fmt::format(" (did you mean \"{}\"?)", *near) : "",
                    fmt::join(names, ", ")));
  }
  auto text = read_file(name_or_path, kMaxRecipeBytes);
  if (!text) {
    const Error& error = text.error();
    const bool is_absent = error.code == ErrorCode::kNotFound;
    return Error(is_absent ? ErrorCode::kInvalidArgument : error.code,
                 "cannot read the recipe: " + error.message, error.subject);
  }
  return parse_recipe(*text, name_or_path);
}

Result<std::vector<std::optional<MatrixTarget>>> recipe_targets(
    const Recipe& recipe, std::span<const RecipeMatrix> matrices) {
  std::vector<TensorNames> names;
  names.reserve(matrices.size() + 1);
  for (const RecipeMatrix& matrix : matrices) names.push_back(matrix.names);
  // A model whose embedding is its head has no such tensor, and the same recipe serves it.
  names.push_back({"lm_head.weight", "lm_head.weight"});
  std::vector<std::optional<MatrixTarget>> targets(matrices.size());
  for (size_t r = 0; r < recipe.rules.size(); ++r) {
    const RecipeRule& rule = recipe.rules[r];
    std::vector<bool> named(names.size(), rule.modules.empty());
    for (const std::string& pattern : rule.modules) {
      const auto flags = match_pattern(pattern, names);
      if (!flags) {
        return Error(flags.error().code, fmt::format("rule {}: {}", r + 1, flags.error().message),
                     "recipe " + recipe.name);
      }
      for (size_t i = 0; i < names.size(); ++i) named[i] = named[i] || (*flags)[i];
    }
    for (size_t i = 0; i < matrices.size(); ++i) {
      const bool has_role = rule.roles.empty() || std::find(rule.roles.begin(), rule.roles.end(),
                                                            matrices[i].role) != rule.roles.end();
      if (named[i] && has_role && !targets[i]) targets[i] = rule.target;
    }
  }
  return targets;
}

std::vector<NamedChoice> recipes() {
  std::vector<NamedChoice> choices;
  choices.reserve(bundled_recipes().size());
  for (const Recipe& recipe : bundled_recipes()) {
    choices.push_back({recipe.name, recipe.description});
  }
  return choices;
}

}  // namespace nibble
