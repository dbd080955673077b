#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <unordered_map>
#include <utility>

#include "checkpoint/writer.h"
#include "numbers/nvfp4.h"
#include "quantize/calibration/input_points.h"
#include "quantize/ignore_pattern.h"
#include "quantize/lora/lora_adapter.h"
#include "quantize/methods/method.h"
#include "quantize/quantize.h"
#include "quantize/recipe.h"

namespace nibble {
namespace {

constexpr std::string_view kTiedReason = "its values are those of the embedding";

Error unknown_choice(std::string_view kind, const std::string& given,
                     const std::vector<std::string_view>& choices) {
  return Error(ErrorCode::kInvalidArgument, fmt::format("there is no {} \"{}\"; choose one of: {}",
                                                        kind, given, fmt::join(choices, ", ")));
}

std::vector<std::string_view> names_of(const std::vector<NamedChoice>& choices) {
  std::vector<std::string_view> names;
  names.reserve(choices.size());
  for (const NamedChoice& choice : choices) names.push_back(choice.name);
  return names;
}

Status check_choices(const QuantizeJob& job) {
  if (find_method(job.method) == nullptr) {
    return unknown_choice("method", job.method, names_of(quantize_methods()));
  }
  const std::vector<std::string_view> dialects = writable_dialects();
  if (std::find(dialects.begin(), dialects.end(), job.dialect) == dialects.end()) {
    return unknown_choice("output dialect", job.dialect, dialects);
  }
  if (!job.kv_cache.empty() && job.kv_cache != "fp8" && job.kv_cache != "keep") {
    return unknown_choice("key/value cache", job.kv_cache, {"fp8", "keep"});
  }
  return {};
}

// Whether scales of an FP8 cache can be added.
Status check_cache(const Checkpoint& source, const std::string& dialect) {
  if (!dialect_holds_cache_scales(dialect)) {
    return Error(ErrorCode::kInvalidArgument,
                 "has no place for the scales of an FP8 key/value cache; choose another dialect",
                 dialect);
  }
  for (const TensorInfo& tensor : source.tensors()) {
    if (!tensor.name.ends_with(".k_scale") && !tensor.name.ends_with(".v_scale")) continue;
    return Error(
        ErrorCode::kInvalidArgument,
        fmt::format("holds scales of a key/value cache already ({}), so none can be added; "
                    "start from the original checkpoint",
                    tensor.stored_name),
        source.folder());
  }
  return {};
}

Status check_not_quantized(const Checkpoint& source) {
  for (const TensorInfo& tensor : source.tensors()) {
    if (tensor.storage == Storage::kPlain) continue;
    return Error(ErrorCode::kInvalidArgument,
                 fmt::format("is already quantized ({}; {} is {}); quantizing starts from the "
                             "original BF16, F16 or F32 checkpoint",
                             source.dialect(), tensor.stored_name, storage_name(tensor)),
                 source.folder());
  }
  return {};
}

// Why a tensor is kept whatever the recipe says; empty for linears of the text body.
std::string reason_outside(const TensorSpec* spec, std::optional<TensorRole> role) {
  if (!role) return "not part of the model";
  if (spec != nullptr && spec->is_linear) return {};
  switch (*role) {
    case TensorRole::kMtp:
      return "multi-token prediction passes through";
    case TensorRole::kVision:
      return "vision passes through";
    default:
      return fmt::format("{}: not a linear of the layers", role_name(*role));
  }
}

// Why a matrix cannot be stored as its target; empty where it can.
std::string reason_unfit(const TensorInfo& tensor, WeightTarget target) {
  if (!is_floating(tensor.dtype)) {
    return fmt::format("its type {} is not floating-point", dtype_name(tensor.dtype));
  }
  if (tensor.shape.size() != 2) return "not a matrix";
  if (target == WeightTarget::kNvfp4 && tensor.shape[1] % kNvfp4BlockSize != 0) {
    return fmt::format("its {} columns are not a multiple of {}", tensor.shape[1], kNvfp4BlockSize);
  }
  return {};
}

// Takes the matched tensors out of the plan.
Status apply_ignores(const std::vector<std::string>& patterns, std::vector<PlanRow>& rows,
                     bool tied_head) {
  std::vector<TensorNames> names;
  names.reserve(rows.size() + 1);
  for (const PlanRow& row : rows) names.push_back({row.tensor->name, row.tensor->stored_name});
  // A tied head has no tensor of its own, yet lists of ignored modules always name it.
  if (tied_head) names.push_back({"lm_head.weight", "lm_head.weight"});
  for (const std::string& pattern : patterns) {
    ASSIGN_OR_RETURN(const std::vector<bool> flags, match_pattern(pattern, names));
    for (size_t i = 0; i < rows.size(); ++i) {
      if (!flags[i] || !rows[i].quantizes()) continue;
      rows[i].target = {};
      rows[i].reason = fmt::format("ignored by \"{}\"", pattern);
    }
  }
  return {};
}

// Matrices that become NVFP4 elsewhere may be too narrow for the blocks of this dialect.
void keep_narrow(const std::string& dialect, std::vector<PlanRow>& rows) {
  const uint64_t multiple = nvfp4_column_multiple(dialect);
  for (PlanRow& row : rows) {
    if (row.target.weights != WeightTarget::kNvfp4 || row.tensor->shape[1] % multiple == 0)
      continue;
    row.target = {};
    row.reason = fmt::format("its {} columns are not a multiple of {}, as {} needs",
                             row.tensor->shape[1], multiple, dialect);
  }
}

// Engines fuse the members of a group into one matrix, so one kept member keeps them all.
void keep_groups_alike(std::vector<PlanRow>& rows) {
  std::unordered_map<std::string, const PlanRow*> kept;
  for (const PlanRow& row : rows) {
    if (!row.quantizes() && !row.fused_group.empty()) kept.emplace(row.fused_group, &row);
  }
  for (PlanRow& row : rows) {
    const auto at = row.quantizes() ? kept.find(row.fused_group) : kept.end();
    if (at == kept.end()) continue;
    row.target = {};
    row.reason = fmt::format("kept with {} ({}): engines fuse them and need both alike",
                             at->second->tensor->name, at->second->reason);
  }
}

// Rules of a recipe may part what engines fuse; that cannot be stored.
Status check_groups_agree(const std::vector<PlanRow>& rows, const std::string& recipe) {
  std::unordered_map<std::string, const PlanRow*> first;
  for (const PlanRow& row : rows) {
    if (!row.quantizes() || row.fused_group.empty()) continue;
    const PlanRow& other = *first.emplace(row.fused_group, &row).first->second;
    if (other.target == row.target) continue;
    return Error(ErrorCode::kInvalidArgument,
                 fmt::format("makes {} {} but {} {}; engines fuse the two and need both alike",
                             other.tensor->name, target_name(other.target), row.tensor->name,
                             target_name(row.target)),
                 "recipe " + recipe);
  }
  return {};
}

Status check_dialect_holds(const std::vector<PlanRow>& rows, const std::string& dialect) {
  for (const PlanRow& row : rows) {
    const std::string refusal =
        dialect_refusal(dialect, row.target.weights, row.target.has_input_scale);
    if (refusal.empty()) continue;
    return Error(ErrorCode::kInvalidArgument,
                 fmt::format("cannot become {} in {}: {}; choose another recipe or dialect",
                             target_name(row.target), dialect, refusal),
                 row.tensor->name);
  }
  return {};
}

// Rows that a recipe may speak about have no reason yet and get a target or a reason here.
Status apply_recipe(const Recipe& recipe, std::vector<PlanRow>& rows) {
  std::vector<RecipeMatrix> matrices;
  std::vector<PlanRow*> asked;
  for (PlanRow& row : rows) {
    if (!row.reason.empty()) continue;
    matrices.push_back({{row.tensor->name, row.tensor->stored_name}, *row.role});
    asked.push_back(&row);
  }
  ASSIGN_OR_RETURN(const auto targets, recipe_targets(recipe, matrices));
  for (size_t i = 0; i < asked.size(); ++i) {
    PlanRow& row = *asked[i];
    if (!targets[i]) {
      row.reason = fmt::format("not in recipe {}", recipe.name);
    } else if (targets[i]->keeps()) {
      row.reason = fmt::format("kept by recipe {}", recipe.name);
    } else {
      row.reason = reason_unfit(*row.tensor, targets[i]->weights);
      if (row.reason.empty()) row.target = *targets[i];
    }
  }
  return {};
}

// What --head asks for, over the recipe.
Status apply_head(const std::string& head, std::vector<PlanRow>& rows) {
  if (head.empty()) return {};
  constexpr std::array<std::pair<std::string_view, MatrixTarget>, 3> kHeads = {{
      {"bf16", {WeightTarget::kKeep, false}},
      {"fp8", {WeightTarget::kFp8Tensor, true}},
      {"nvfp4", {WeightTarget::kNvfp4, false}},
  }};
  const auto chosen = std::find_if(kHeads.begin(), kHeads.end(),
                                   [&](const auto& choice) { return choice.first == head; });
  if (chosen == kHeads.end()) return unknown_choice("head", head, {"bf16", "fp8", "nvfp4"});
  const auto row = std::find_if(rows.begin(), rows.end(), [](const PlanRow& candidate) {
    return candidate.role == TensorRole::kHead;
  });
  if (row == rows.end() || row->reason == kTiedReason) {
    if (chosen->second.keeps()) return {};
    return Error(ErrorCode::kInvalidArgument,
                 "has no head of its own: its embedding serves as head, and that is kept",
                 "--head");
  }
  row->target = {};
  row->reason = chosen->second.keeps() ? "kept by --head bf16"
                                       : reason_unfit(*row->tensor, chosen->second.weights);
  if (row->reason.empty()) row->target = chosen->second;
  return {};
}

std::vector<PlanRow> plan_rows(const Checkpoint& source, const ModelConfig& config) {
  const TensorRoles roles(config);
  std::vector<PlanRow> rows;
  rows.reserve(source.tensors().size());
  for (const TensorInfo& tensor : source.tensors()) {
    const TensorSpec* spec = roles.find(tensor.name);
    PlanRow row;
    row.tensor = &tensor;
    row.role = roles.role_of(tensor.name);
    row.reason = reason_outside(spec, row.role);
    if (row.role == TensorRole::kHead) {
      row.reason = config.tie_word_embeddings ? std::string(kTiedReason) : std::string();
    }
    if (row.reason.empty()) row.fused_group = spec->fused_group;
    rows.push_back(std::move(row));
  }
  // Experts lie stacked in some sources and one by one in others; the output is the same for both.
  if (config.n_experts > 0) {
    std::stable_sort(rows.begin(), rows.end(), [](const PlanRow& a, const PlanRow& b) {
      return a.tensor->stored_name < b.tensor->stored_name;
    });
  }
  return rows;
}

uint64_t output_bytes(const PlanRow& row) {
  if (!row.quantizes()) return row.tensor->n_bytes;
  const Shape& shape = row.tensor->shape;
  const uint64_t input_bytes = row.target.has_input_scale ? sizeof(float) : 0;
  switch (row.target.weights) {
    case WeightTarget::kFp8Tensor:
      return shape[0] * shape[1] + sizeof(float) + input_bytes;
    case WeightTarget::kFp8Channel:
      return shape[0] * (shape[1] + sizeof(float)) + input_bytes;
    default:
      return nvfp4_bytes(shape[0], shape[1]) + sizeof(float) + input_bytes;
  }
}

Result<std::shared_ptr<const LoraAdapter>> open_adapter(const std::string& folder,
                                                        const Plan& plan) {
  if (plan.needs_calibration()) {
    return Error(ErrorCode::kUnsupported,
                 "activation scales are found by running the model without the adapter, so --lora "
                 "goes with recipes and --kv settings that need none (such as --recipe all)",
                 folder);
  }
  return LoraAdapter::open(folder, *plan.source);
}

}  // namespace

std::vector<NamedChoice> quantize_methods() {
  std::vector<NamedChoice> choices;
  for (const Method& method : methods()) choices.push_back({method.name, method.description});
  return choices;
}

bool Plan::needs_calibration() const {
  return fp8_cache || std::any_of(rows.begin(), rows.end(),
                                  [](const PlanRow& row) { return row.target.has_input_scale; });
}

Result<Plan> make_plan(const QuantizeJob& job) {
  RETURN_IF_ERROR(check_choices(job));
  ASSIGN_OR_RETURN(const Recipe recipe, load_recipe(job.recipe));
  Plan plan;
  ASSIGN_OR_RETURN(plan.source, Checkpoint::open(job.source));
  RETURN_IF_ERROR(check_not_quantized(*plan.source));
  ASSIGN_OR_RETURN(plan.config,
                   parse_model_config(plan.source->config(), job.source + "/config.json"));
  RETURN_IF_ERROR(check_tensors(*plan.source, plan.config));

  plan.fp8_cache = job.kv_cache.empty() ? recipe.fp8_cache : job.kv_cache == "fp8";
  if (plan.fp8_cache) RETURN_IF_ERROR(check_cache(*plan.source, job.dialect));
  plan.rows = plan_rows(*plan.source, plan.config);
  RETURN_IF_ERROR(apply_recipe(recipe, plan.rows));
  RETURN_IF_ERROR(apply_head(job.head, plan.rows));
  const bool tied_head = plan.source->find("lm_head.weight") == nullptr;
  RETURN_IF_ERROR(apply_ignores(job.ignore, plan.rows, tied_head));
  keep_narrow(job.dialect, plan.rows);
  keep_groups_alike(plan.rows);
  RETURN_IF_ERROR(check_groups_agree(plan.rows, job.recipe));
  RETURN_IF_ERROR(check_dialect_holds(plan.rows, job.dialect));
  bool quantizes_any = false;
  for (PlanRow& row : plan.rows) {
    row.n_output_bytes = output_bytes(row);
    if (plan.fp8_cache && cache_point(row.tensor->name)) row.n_output_bytes += sizeof(float);
    quantizes_any = quantizes_any || row.quantizes();
  }
  if (!quantizes_any) {
    return Error(ErrorCode::kInvalidArgument,
                 fmt::format("nothing is left to quantize with recipe {} and {} ignore patterns; "
                             "see the plan of a run without --ignore",
                             job.recipe, job.ignore.size()),
                 job.source);
  }
  if (!job.lora.empty()) {
    ASSIGN_OR_RETURN(plan.lora, open_adapter(job.lora, plan));
  }
  return plan;
}

}  // namespace nibble
