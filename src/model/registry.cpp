#include "model/registry.h"

#include <fmt/format.h>

#include "model/qwen3_5/qwen3_5.h"
#include "model/tensor_table.h"

namespace nibble {
namespace {

constexpr Architecture kArchitectures[] = {
    {"Qwen3_5ForConditionalGeneration", "qwen3_5", false, qwen3_5::load},
    {"Qwen3_5ForCausalLM", "qwen3_5_text", false, qwen3_5::load},
    {"Qwen3_5MoeForConditionalGeneration", "qwen3_5_moe", true, qwen3_5::load},
    {"Qwen3_5MoeForCausalLM", "qwen3_5_moe_text", true, qwen3_5::load},
};

}  // namespace

std::span<const Architecture> architectures() { return kArchitectures; }

std::string architecture_names() {
  std::string names;
  for (const Architecture& row : kArchitectures) {
    if (!names.empty()) names += ", ";
    names += row.class_name;
  }
  return names;
}

Result<std::unique_ptr<Model>> load_model(std::shared_ptr<const Checkpoint> checkpoint,
                                          Backend& backend, const ModelOptions& options,
                                          const ProgressSink& progress) {
  const std::string subject = checkpoint->folder() + "/config.json";
  if (options.max_batch_rows == 0) {
    return Error(ErrorCode::kInvalidArgument,
                 "max_batch_rows is 0; a batch needs at least one row");
  }
  ASSIGN_OR_RETURN(ModelConfig config, parse_model_config(checkpoint->config(), subject));
  for (const Architecture& row : kArchitectures) {
    if (row.class_name != config.architecture) continue;
    RETURN_IF_ERROR(check_tensors(*checkpoint, config));
    return row.load(std::move(checkpoint), std::move(config), backend, options, progress);
  }
  CHECK(false);  // parse_model_config only names classes of the table
}

}  // namespace nibble
