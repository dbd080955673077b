#include "checkpoint/dialects/compressed_tensors_description.h"

#include <fmt/format.h>

namespace nibble {
namespace {

constexpr std::string_view kNvfp4Name = "nvfp4-pack-quantized";
constexpr std::string_view kFp8Name = "float-quantized";

// What all quantization arguments state; the caller fills in its own.
Json arguments(int num_bits, const char* strategy) {
  Json args = Json::object();
  args["actorder"] = nullptr;
  args["block_structure"] = nullptr;
  args["dynamic"] = false;
  args["group_size"] = nullptr;
  args["num_bits"] = num_bits;
  args["observer"] = nullptr;
  args["observer_kwargs"] = Json::object();
  args["strategy"] = strategy;
  args["symmetric"] = true;
  args["type"] = "float";
  return args;
}

Json nvfp4_arguments(bool is_weight) {
  Json args = arguments(4, "tensor_group");
  // Block scales of activations are found at run time, the global scale is stored.
  if (!is_weight) args["dynamic"] = "local";
  args["group_size"] = 16;
  args["observer"] = is_weight ? "memoryless_minmax" : "static_minmax";
  return args;
}

Json fp8_weights(WeightTarget kind) {
  Json args = arguments(8, kind == WeightTarget::kFp8Channel ? "channel" : "tensor");
  args["observer"] = "memoryless_minmax";
  return args;
}

// Activations have a stored scale, or each token finds its own.
Json fp8_activations(bool has_input_scale) {
  Json args = arguments(8, has_input_scale ? "tensor" : "token");
  if (has_input_scale) {
    args["observer"] = "static_minmax";
  } else {
    args["dynamic"] = true;
  }
  return args;
}

bool is_fp8(StoredAs stored) {
  return stored.is_quantized() && stored.kind != WeightTarget::kNvfp4;
}

Json group_json(const OutputSummary& summary, StoredAs stored) {
  Json group = Json::object();
  group["format"] = is_fp8(stored) ? kFp8Name : kNvfp4Name;
  if (is_fp8(stored)) {
    group["input_activations"] = fp8_activations(stored.has_input_scale);
  } else {
    group["input_activations"] = stored.has_input_scale ? nvfp4_arguments(false) : Json(nullptr);
  }
  group["output_activations"] = nullptr;
  group["targets"] = compressed_tensors_targets(summary, stored);
  group["weights"] = is_fp8(stored) ? fp8_weights(stored.kind) : nvfp4_arguments(true);
  return group;
}

}  // namespace

Json compressed_tensors_description(const OutputSummary& summary) {
  Json groups = Json::object();
  std::string packing;
  for (const StoredAs stored : summary.kinds()) {
    Json group = group_json(summary, stored);
    const std::string own = group["format"].get<std::string>();
    packing = packing.empty() || packing == own ? own : "mixed-precision";
    groups[fmt::format("group_{}", groups.size())] = std::move(group);
  }
  Json description = Json::object();
  description["config_groups"] = std::move(groups);
  description["format"] = packing;
  description["global_compression_ratio"] = nullptr;
  description["ignore"] = compressed_tensors_ignore(summary);
  description["kv_cache_scheme"] = summary.has_fp8_cache ? arguments(8, "tensor") : Json(nullptr);
  description["quant_method"] = "compressed-tensors";
  description["quantization_status"] = "compressed";
  description["sparsity_config"] = Json::object();
  description["transform_config"] = Json::object();
  description["version"] = "0.18.0";
  return description;
}

}  // namespace nibble
