#include "checkpoint/dialects/compressed_tensors_description.h"

#include <fmt/format.h>

#include "checkpoint/dialects/module_kinds.h"

namespace nibble {
namespace {

constexpr std::string_view kNvfp4Name = "nvfp4-pack-quantized";

std::string text_field(const Json& object, const char* key) {
  const auto at = object.find(key);
  return at != object.end() && at->is_string() ? at->get<std::string>() : std::string();
}

bool has_content(const Json& object, const char* key) {
  const auto at = object.find(key);
  return at != object.end() && (at->is_object() || at->is_array()) && !at->empty();
}

Error unsupported(const std::string& what, const std::string& subject) {
  return Error(
      ErrorCode::kUnsupported,
      fmt::format("is a compressed-tensors checkpoint with {}; {}", what, supported_storage_text()),
      subject);
}

// A group's weights in words: "8-bit float, strategy channel".
std::string weights_text(const Json& weights) {
  const auto bits = weights.find("num_bits");
  const auto size = weights.find("group_size");
  return fmt::format("{}-bit {} weights, strategy {}, group size {}",
                     bits != weights.end() ? bits->dump() : "?", text_field(weights, "type"),
                     text_field(weights, "strategy"),
                     size != weights.end() ? size->dump() : "none");
}

bool is_nvfp4(const Json& weights) {
  const auto bits = weights.find("num_bits");
  const auto size = weights.find("group_size");
  const std::string strategy = text_field(weights, "strategy");
  return bits != weights.end() && *bits == 4 && text_field(weights, "type") == "float" &&
         size != weights.end() && *size == 16 &&
         (strategy == "tensor_group" || strategy == "group");
}

Status check_group(const std::string& name, const Json& group, const std::string& subject) {
  const auto weights = group.is_object() ? group.find("weights") : group.end();
  // Groups without weights describe the KV cache or activations only.
  if (!group.is_object() || weights == group.end() || !weights->is_object()) return {};
  const std::string packing = text_field(group, "format");
  if (!packing.empty() && packing != kNvfp4Name) {
    return unsupported(fmt::format("the format \"{:.80}\" in group {:.80}", packing, name),
                       subject);
  }
  if (!is_nvfp4(*weights)) {
    return unsupported(fmt::format("{:.200} in group {:.80}", weights_text(*weights), name),
                       subject);
  }
  return {};
}

Json arguments(bool is_weight) {
  Json args = Json::object();
  args["actorder"] = nullptr;
  args["block_structure"] = nullptr;
  if (is_weight) {
    args["dynamic"] = false;
  } else {
    args["dynamic"] = "local";  // block scales at run time, the global scale is stored
  }
  args["group_size"] = 16;
  args["num_bits"] = 4;
  args["observer"] = is_weight ? "memoryless_minmax" : "static_minmax";
  args["observer_kwargs"] = Json::object();
  args["strategy"] = "tensor_group";
  args["symmetric"] = true;
  args["type"] = "float";
  return args;
}

}  // namespace

Status check_compressed_tensors_description(const Json& description, const std::string& subject) {
  const std::string packing = text_field(description, "format");
  if (!packing.empty() && packing != kNvfp4Name && packing != "mixed-precision") {
    return unsupported(fmt::format("the format \"{:.80}\"", packing), subject);
  }
  if (has_content(description, "transform_config")) {
    return unsupported("transforms of its weights (transform_config)", subject);
  }
  const auto sparsity = description.find("sparsity_config");
  if (sparsity != description.end() && sparsity->is_object()) {
    const std::string kind = text_field(*sparsity, "format");
    if (!kind.empty() && kind != "dense") {
      return unsupported(fmt::format("sparse weights (\"{:.80}\")", kind), subject);
    }
  }
  const auto groups = description.find("config_groups");
  if (groups == description.end() || !groups->is_object() || groups->empty()) {
    return Error(ErrorCode::kCorrupt, "its quantization_config has no config_groups", subject);
  }
  for (const auto& [name, group] : groups->items()) {
    RETURN_IF_ERROR(check_group(name, group, subject));
  }
  return {};
}

Json compressed_tensors_description(const OutputSummary& summary) {
  Json group = Json::object();
  group["format"] = kNvfp4Name;
  group["input_activations"] = summary.has_input_scales ? arguments(false) : Json(nullptr);
  group["output_activations"] = nullptr;
  group["targets"] = Json::array({"Linear"});
  // Loaders do not count the head among the linear layers.
  if (survey_modules(summary).head.any_quantized) group["targets"].push_back("re:.*lm_head");
  group["weights"] = arguments(true);

  Json description = Json::object();
  description["config_groups"] = Json::object({{"group_0", std::move(group)}});
  description["format"] = kNvfp4Name;
  description["global_compression_ratio"] = nullptr;
  description["ignore"] = compressed_tensors_ignore(summary);
  description["kv_cache_scheme"] = nullptr;
  description["quant_method"] = "compressed-tensors";
  description["quantization_status"] = "compressed";
  description["sparsity_config"] = Json::object();
  description["transform_config"] = Json::object();
  description["version"] = "0.18.0";
  return description;
}

}  // namespace nibble
