#include "checkpoint/output/output_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <unordered_set>

#include "core/json.h"
#include "numbers/nvfp4.h"

namespace nibble {
namespace {

constexpr std::string_view kWeight = ".weight";

Error bad_plan(const std::string& message, const std::string& subject) {
  return Error(ErrorCode::kInvalidArgument, message, subject);
}

Status check_covers(const Checkpoint& source, const std::vector<PlannedTensor>& plan) {
  std::unordered_set<std::string_view> names;
  for (const PlannedTensor& planned : plan) {
    if (planned.source == nullptr || source.find(planned.source->name) == nullptr ||
        !names.insert(planned.source->name).second) {
      return bad_plan("the plan does not name every tensor of the source once", source.folder());
    }
  }
  if (names.size() == source.tensors().size()) return {};
  return bad_plan(fmt::format("the plan names {} of the {} tensors of the source", names.size(),
                              source.tensors().size()),
                  source.folder());
}

Status check_can_be_nvfp4(const TensorInfo& tensor) {
  const bool fits = tensor.shape.size() == 2 && tensor.shape[0] > 0 && tensor.shape[1] > 0 &&
                    tensor.shape[1] % kNvfp4BlockSize == 0;
  if (fits && tensor.stored_name.ends_with(kWeight)) return {};
  return bad_plan(fmt::format("cannot be stored as NVFP4: its shape is {}; a weight matrix [rows, "
                              "cols] with cols a multiple of 16 is needed",
                              shape_text(tensor.shape)),
                  tensor.name);
}

std::string module_name(const TensorInfo& tensor) {
  return tensor.stored_name.substr(0, tensor.stored_name.size() - kWeight.size());
}

uint64_t bytes_of(const std::vector<SafetensorsDeclaration>& declarations) {
  uint64_t total = 0;
  for (const SafetensorsDeclaration& part : declarations) {
    // Sizes of tensors that exist cannot overflow, and NVFP4 makes them smaller.
    total += n_elements(part.shape).value_or(0) * dtype_bytes(part.dtype);
  }
  return total;
}

// Fills shards one tensor at a time.
class Packer {
 public:
  Packer(OutputPlan& plan, uint64_t max_shard_bytes) : plan_(plan), max_bytes_(max_shard_bytes) {
    plan_.shards.emplace_back();
  }

  void add(OutputTensor tensor, std::vector<SafetensorsDeclaration> parts) {
    tensor.n_parts = parts.size();
    tensor.n_bytes = bytes_of(parts);
    if (shard_bytes_ > 0 && tensor.n_bytes > max_bytes_ - std::min(max_bytes_, shard_bytes_)) {
      plan_.shards.emplace_back();
      shard_bytes_ = 0;
    }
    OutputShard& shard = plan_.shards.back();
    tensor.shard = plan_.shards.size() - 1;
    tensor.first_part = shard.declarations.size();
    shard.declarations.insert(shard.declarations.end(), parts.begin(), parts.end());
    shard_bytes_ += tensor.n_bytes;
    plan_.data_bytes += tensor.n_bytes;
    plan_.tensors.push_back(tensor);
  }

 private:
  OutputPlan& plan_;
  uint64_t max_bytes_;
  uint64_t shard_bytes_ = 0;
};

Status name_shards(OutputPlan& plan) {
  const size_t n = plan.shards.size();
  for (size_t i = 0; i < n; ++i) {
    plan.shards[i].name = n == 1 ? std::string("model.safetensors")
                                 : fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, n);
    ASSIGN_OR_RETURN(const uint64_t n_bytes, safetensors_header_bytes(plan.shards[i].declarations));
    plan.header_bytes += n_bytes;
  }
  return {};
}

Status check_input_scales(const OutputPlan& plan, const std::string& subject) {
  size_t n_with = 0;
  size_t n_quantized = 0;
  for (const OutputTensor& tensor : plan.tensors) {
    n_quantized += tensor.quantized ? 1 : 0;
    n_with += tensor.has_input_scale ? 1 : 0;
  }
  if (n_with == 0 || n_with == n_quantized) return {};
  return bad_plan(fmt::format("{} of {} quantized matrices have a static activation scale; all of "
                              "them or none must have one",
                              n_with, n_quantized),
                  subject);
}

}  // namespace

bool OutputPlan::any_quantized() const {
  return std::any_of(tensors.begin(), tensors.end(),
                     [](const OutputTensor& tensor) { return tensor.quantized; });
}

Result<OutputPlan> plan_output(const Checkpoint& source, const std::vector<PlannedTensor>& plan,
                               const Dialect& dialect, uint64_t max_shard_bytes) {
  RETURN_IF_ERROR(check_covers(source, plan));
  OutputPlan output;
  Packer packer(output, max_shard_bytes);
  for (const PlannedTensor& planned : plan) {
    const TensorInfo& info = *planned.source;
    OutputTensor tensor;
    tensor.planned = planned;
    tensor.quantized = planned.target == WeightTarget::kNvfp4 || info.storage == Storage::kNvfp4;
    std::vector<SafetensorsDeclaration> parts;
    if (tensor.quantized) {
      RETURN_IF_ERROR(check_can_be_nvfp4(info));
      tensor.has_input_scale = planned.target == WeightTarget::kNvfp4
                                   ? planned.has_input_scale
                                   : source.nvfp4(info).input_scale.has_value();
      parts =
          dialect.declare(module_name(info), info.shape[0], info.shape[1], tensor.has_input_scale);
    } else {
      parts = {{info.stored_name, info.dtype, info.shape}};
    }
    if (info.stored_name.ends_with(kWeight)) {
      output.summary.modules.push_back(
          {module_name(info), tensor.quantized, info.shape.size() >= 2});
    }
    output.summary.has_input_scales |= tensor.has_input_scale;
    packer.add(tensor, std::move(parts));
  }
  RETURN_IF_ERROR(check_input_scales(output, source.folder()));
  RETURN_IF_ERROR(name_shards(output));
  return output;
}

std::string index_text(const OutputPlan& plan) {
  std::map<std::string_view, std::string_view> placement;
  for (const OutputShard& shard : plan.shards) {
    for (const SafetensorsDeclaration& part : shard.declarations) placement[part.name] = shard.name;
  }
  std::string text =
      fmt::format("{{\n  \"metadata\": {{\n    \"total_size\": {}\n  }},\n  \"weight_map\": {{",
                  plan.data_bytes);
  const char* separator = "\n";
  for (const auto& [tensor, shard] : placement) {
    text += fmt::format("{}    {}: {}", separator, dump_json_line(Json(tensor)),
                        dump_json_line(Json(shard)));
    separator = ",\n";
  }
  return text + "\n  }\n}\n";
}

}  // namespace nibble
