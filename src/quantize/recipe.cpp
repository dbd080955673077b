// The list of recipes. To add one: add a row.
#include "quantize/recipe.h"

#include <array>

#include "quantize/quantize.h"

namespace nibble {
namespace {

bool is_mlp(const TensorSpec& linear) {
  switch (linear.role) {
    case TensorRole::kMlpInput:
    case TensorRole::kMlpOutput:
    case TensorRole::kExpertInput:
    case TensorRole::kExpertOutput:
      return true;
    default:
      return false;
  }
}

constexpr std::array kRecipes = {
    Recipe{"all", "every linear of the layers; embedding, head, norms, vision and MTP stay",
           [](const TensorSpec&) { return true; }},
    Recipe{"mlp", "only the gate, up and down projections, which every serving engine loads",
           is_mlp},
};

}  // namespace

const Recipe* find_recipe(std::string_view name) {
  for (const Recipe& recipe : kRecipes) {
    if (recipe.name == name) return &recipe;
  }
  return nullptr;
}

std::vector<NamedChoice> recipes() {
  std::vector<NamedChoice> choices;
  choices.reserve(kRecipes.size());
  for (const Recipe& recipe : kRecipes) choices.push_back({recipe.name, recipe.description});
  return choices;
}

}  // namespace nibble
