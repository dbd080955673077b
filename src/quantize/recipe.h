// Recipes: which matrices of a model are quantized, and to what. They are data: the bundled ones
// are the files of recipes/, and users write their own (docs/recipes.md).
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/writer.h"
#include "core/result.h"
#include "model/tensor_table.h"
#include "quantize/ignore_pattern.h"

namespace nibble {

/// What a matrix becomes.
struct MatrixTarget {
  WeightTarget weights = WeightTarget::kKeep;
  bool has_input_scale = false;  ///< a static activation scale, which calibration finds

  bool operator==(const MatrixTarget&) const = default;
  bool keeps() const { return weights == WeightTarget::kKeep; }
};

/// The word of recipes and tables: "keep", "nvfp4-w4a16", "nvfp4-w4a4", "fp8-tensor",
/// "fp8-channel".
std::string_view target_name(MatrixTarget target);
std::optional<MatrixTarget> target_from_name(std::string_view name);

/// One line of a recipe. A rule without roles means all roles, one without modules all modules.
struct RecipeRule {
  std::vector<TensorRole> roles;
  std::vector<std::string> modules;  ///< patterns, see ignore_pattern.h
  MatrixTarget target;
};

/// A matrix gets the target of the first rule that means it, and is kept where none does.
struct Recipe {
  std::string name;  ///< of a bundled recipe, or the path of the file
  std::string description;
  std::vector<RecipeRule> rules;
  bool fp8_cache = false;  ///< the key/value cache is meant to be held in FP8
};

/// Parses the text of a recipe. Keys, roles and targets that do not exist come with the nearest
/// that does. Errors: kInvalidArgument, kCorrupt (no JSON).
Result<Recipe> parse_recipe(std::string_view text, const std::string& name);

/// A bundled recipe by its name, or the recipe in a file: whatever holds a slash or ends in ".json"
/// is a path. Errors: kInvalidArgument (lists the bundled ones), those of parse_recipe, read_file.
Result<Recipe> load_recipe(const std::string& name_or_path);

/// A matrix that a recipe may speak about.
struct RecipeMatrix {
  TensorNames names;
  TensorRole role{};
};

/// The target of every matrix; nothing where no rule means it.
/// Errors: kInvalidArgument (a pattern that is malformed or matches nothing; names the rule).
Result<std::vector<std::optional<MatrixTarget>>> recipe_targets(
    const Recipe& recipe, std::span<const RecipeMatrix> matrices);

}  // namespace nibble
