// Fuzzes recipes: whatever is accepted must give every matrix one target or none.
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "core/check.h"
#include "quantize/recipe.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const nibble::Result<nibble::Recipe> recipe = nibble::parse_recipe(text, "input");
  if (!recipe) return 0;
  CHECK(!recipe->rules.empty());
  const std::vector<nibble::RecipeMatrix> matrices = {
      {{"layers.0.mlp.up_proj.weight", "model.layers.0.mlp.up_proj.weight"},
       nibble::TensorRole::kMlpInput},
      {{"layers.1.mlp.down_proj.weight", "model.layers.1.mlp.down_proj.weight"},
       nibble::TensorRole::kMlpOutput},
      {{"lm_head.weight", "lm_head.weight"}, nibble::TensorRole::kHead}};
  const auto targets = nibble::recipe_targets(*recipe, matrices);
  if (!targets) return 0;
  CHECK(targets->size() == matrices.size());
  for (const auto& target : *targets) {
    if (target) CHECK(nibble::target_from_name(nibble::target_name(*target)) == *target);
  }
  return 0;
}
