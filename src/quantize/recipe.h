// Recipes: which tensors of a model are quantized.
#pragma once

#include <span>
#include <string_view>

#include "model/tensor_table.h"

namespace nibble {

/// One row of the list.
struct Recipe {
  std::string_view name;
  std::string_view description;               ///< one line, for --help
  bool (*selects)(const TensorSpec& linear);  ///< asked for the linears of the text body only
};

/// The recipe of that name, or nullptr.
const Recipe* find_recipe(std::string_view name);

}  // namespace nibble
