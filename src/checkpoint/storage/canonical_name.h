// The canonical name of a stored tensor: what is left of it without the prefixes of wrappers.
#pragma once

#include <string_view>

namespace nibble {

/// Drops every leading "model." and "language_model.", in whatever order and number wrappers stack
/// them, so that "model.language_model.layers.0.x", "language_model.model.layers.0.x" and
/// "model.layers.0.x" become "layers.0.x", "model.visual.x" becomes "visual.x", "model.mtp.x"
/// becomes "mtp.x" and "language_model.lm_head.weight" becomes "lm_head.weight".
///   returns  a view into `stored`
constexpr std::string_view canonical_name(std::string_view stored) {
  constexpr std::string_view kWrappers[] = {"model.", "language_model."};
  bool dropped = true;
  while (dropped) {
    dropped = false;
    for (const std::string_view wrapper : kWrappers) {
      if (!stored.starts_with(wrapper) || stored.size() == wrapper.size()) continue;
      stored.remove_prefix(wrapper.size());
      dropped = true;
    }
  }
  return stored;
}

}  // namespace nibble
