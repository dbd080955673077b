#include "checkpoint/output/output_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <unordered_set>

#include "checkpoint/dialects/module_kinds.h"
#include "checkpoint/output/stored_form.h"
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

Status check_can_be(StoredAs stored, const TensorInfo& tensor, const std::string& stored_name,
                    const Dialect& dialect) {
  const bool is_nvfp4 = stored.kind == WeightTarget::kNvfp4;
  const bool fits = tensor.shape.size() == 2 && tensor.shape[0] > 0 && tensor.shape[1] > 0 &&
                    (!is_nvfp4 || tensor.shape[1] % kNvfp4BlockSize == 0);
  if (!fits || !stored_name.ends_with(kWeight)) {
    return bad_plan(fmt::format("cannot be stored as {}: its shape is {}; a weight matrix [rows, "
                                "cols]{} is needed",
                                is_nvfp4 ? "NVFP4" : "FP8", shape_text(tensor.shape),
                                is_nvfp4 ? " with cols a multiple of 16" : ""),
                    tensor.name);
  }
  const std::string refusal = dialect_refusal(dialect.name, stored.kind, stored.has_input_scale);
  if (refusal.empty()) return {};
  return bad_plan(fmt::format("cannot be stored in {}: {}", dialect.name, refusal), tensor.name);
}

// How the output stores a tensor.
StoredAs stored_as(const Checkpoint& source, const PlannedTensor& planned) {
  if (planned.target == WeightTarget::kDecode) return {};
  if (planned.target != WeightTarget::kKeep) return {planned.target, planned.has_input_scale};
  const TensorInfo& info = *planned.source;
  if (info.storage == Storage::kNvfp4 ||
      (info.storage == Storage::kBlocks && info.block_kind == BlockKind::kNvfp4)) {
    return {WeightTarget::kNvfp4, stored_input_scale(source, info).has_value()};
  }
  if (info.storage == Storage::kFp8) {
    const auto matrix = std::get<Fp8MatrixView>(source.matrix(info));
    const bool per_row = matrix.scales.size() == matrix.rows && matrix.rows > 1;
    return {per_row ? WeightTarget::kFp8Channel : WeightTarget::kFp8Tensor,
            matrix.input_scale.has_value()};
  }
  return {};
}

std::string module_name(const std::string& stored_name) {
  return stored_name.substr(0, stored_name.size() - kWeight.size());
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

// Engines run fused matrices as one: what this output quantizes must be quantized alike.
Status check_fused_alike(const OutputPlan& plan) {
  std::map<std::string, const OutputTensor*> first;
  for (const OutputTensor& tensor : plan.tensors) {
    const bool is_ours = tensor.planned.target != WeightTarget::kKeep;
    const std::string group = is_ours ? fused_module(module_name(tensor.form.name)) : "";
    if (group.empty()) continue;
    const OutputTensor& other = *first.emplace(group, &tensor).first->second;
    if (other.stored == tensor.stored) continue;
    return bad_plan(
        fmt::format("is quantized otherwise than {}; engines fuse the two and need both "
                    "alike",
                    other.planned.source->name),
        tensor.planned.source->name);
  }
  return {};
}

}  // namespace

bool OutputPlan::any_quantized() const {
  return std::any_of(tensors.begin(), tensors.end(),
                     [](const OutputTensor& tensor) { return tensor.stored.is_quantized(); });
}

Result<OutputPlan> plan_output(const Checkpoint& source, const std::vector<PlannedTensor>& plan,
                               const Dialect& dialect, uint64_t max_shard_bytes) {
  RETURN_IF_ERROR(check_covers(source, plan));
  OutputPlan output;
  Packer packer(output, max_shard_bytes);
  for (const PlannedTensor& planned : plan) {
    if (planned.target == WeightTarget::kLeaveOut) continue;
    const TensorInfo& info = *planned.source;
    OutputTensor tensor;
    tensor.planned = planned;
    tensor.stored = stored_as(source, planned);
    ASSIGN_OR_RETURN(tensor.form, stored_form(source, planned));
    const std::string& name = tensor.form.name;
    std::vector<SafetensorsDeclaration> parts;
    if (tensor.stored.is_quantized()) {
      RETURN_IF_ERROR(check_can_be(tensor.stored, info, name, dialect));
      parts = dialect.declare(module_name(name), tensor.stored, info.shape[0], info.shape[1]);
    } else {
      parts = {{name, tensor.form.dtype, tensor.form.shape}};
    }
    if (planned.cache_scale) {
      parts.push_back(dialect.declare_cache_scale(module_name(name)));
      output.summary.has_fp8_cache = true;
    }
    if (name.ends_with(kWeight)) {
      output.summary.modules.push_back({module_name(name), tensor.stored, info.shape.size() >= 2});
    }
    packer.add(tensor, std::move(parts));
  }
  RETURN_IF_ERROR(check_fused_alike(output));
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
