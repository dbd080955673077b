#include "quantize/calibration/input_points.h"

#include <array>
#include <charconv>
#include <utility>

namespace nibble {
namespace {

constexpr std::string_view kLayers = "layers.";
constexpr std::string_view kWeight = ".weight";

using NamedPoint = std::pair<std::string_view, std::string_view>;  // module of a layer and point

constexpr std::array<NamedPoint, 18> kInputs = {{
    {"self_attn.q_proj", "self_attn.in"},
    {"self_attn.k_proj", "self_attn.in"},
    {"self_attn.v_proj", "self_attn.in"},
    {"self_attn.o_proj", "self_attn.o_proj.in"},
    {"linear_attn.in_proj_qkv", "linear_attn.in"},
    {"linear_attn.in_proj_z", "linear_attn.in"},
    {"linear_attn.in_proj_b", "linear_attn.in"},
    {"linear_attn.in_proj_a", "linear_attn.in"},
    {"linear_attn.out_proj", "linear_attn.out_proj.in"},
    {"mlp.gate_proj", "mlp.in"},
    {"mlp.up_proj", "mlp.in"},
    {"mlp.down_proj", "mlp.down_proj.in"},
    {"mlp.shared_expert.gate_proj", "mlp.in"},
    {"mlp.shared_expert.up_proj", "mlp.in"},
    {"mlp.shared_expert.down_proj", "mlp.shared_expert.down_proj.in"},
    {"mlp.experts.gate_proj", "mlp.in"},
    {"mlp.experts.up_proj", "mlp.in"},
    {"mlp.experts.down_proj", "mlp.experts.down_proj.in"},
}};

constexpr std::array<NamedPoint, 2> kCached = {{
    {"self_attn.k_proj", "self_attn.k_rope"},
    {"self_attn.v_proj", "self_attn.v_proj"},
}};

// "layers.3.mlp.up_proj.weight" -> 3 and "mlp.up_proj".
std::optional<std::pair<int64_t, std::string_view>> split_layer(std::string_view name) {
  if (!name.starts_with(kLayers) || !name.ends_with(kWeight)) return std::nullopt;
  name.remove_prefix(kLayers.size());
  name.remove_suffix(kWeight.size());
  int64_t layer = 0;
  const auto [end, failed] = std::from_chars(name.data(), name.data() + name.size(), layer);
  if (failed != std::errc() || end == name.data() + name.size() || *end != '.') return std::nullopt;
  return std::pair(layer, name.substr(static_cast<size_t>(end - name.data()) + 1));
}

// "mlp.experts.17.up_proj" -> "mlp.experts.up_proj": rare experts may see no token of the text, so
// all experts of a layer share what is seen of any.
std::string any_expert(std::string_view module) {
  constexpr std::string_view kExperts = "mlp.experts.";
  const size_t dot =
      module.starts_with(kExperts) ? module.find('.', kExperts.size()) : std::string_view::npos;
  if (dot == std::string_view::npos) return std::string(module);
  return std::string(kExperts) + std::string(module.substr(dot + 1));
}

template <size_t n>
std::optional<TapPoint> find_point(const std::array<NamedPoint, n>& points, std::string_view name) {
  const auto place = split_layer(name);
  if (!place) return std::nullopt;
  const std::string wanted = any_expert(place->second);
  for (const auto& [module, point] : points) {
    if (module == wanted) return TapPoint{point, place->first};
  }
  return std::nullopt;
}

}  // namespace

std::optional<TapPoint> input_point(std::string_view name) {
  if (name == "lm_head.weight") return TapPoint{"lm_head.in", 0};
  return find_point(kInputs, name);
}

std::optional<TapPoint> cache_point(std::string_view name) { return find_point(kCached, name); }

}  // namespace nibble
