#include "checkpoint/dialects/compressed_tensors_description.h"

#include <fmt/format.h>

#include "checkpoint/dialects/module_kinds.h"

namespace nibble {
namespace {

constexpr std::string_view kNvfp4Name = "nvfp4-pack-quantized";

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
