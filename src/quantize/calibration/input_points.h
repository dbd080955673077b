// Where in the forward pass the input of a matrix can be seen.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "quantize/quantize.h"

namespace nibble {

/// A value of the forward pass, as Tap names it.
struct TapPoint {
  std::string_view point;
  int64_t layer = 0;

  auto operator<=>(const TapPoint&) const = default;
};

/// The input of a matrix of the layers or of the head; nothing for any other tensor.
std::optional<TapPoint> input_point(std::string_view name);

/// What the key/value cache holds of a projection of the attention: keys after their norm and
/// rotation, values as they are. Nothing for tensors that are neither k_proj nor v_proj of a layer.
std::optional<TapPoint> cache_point(std::string_view name);

}  // namespace nibble
