#include "checkpoint/gguf_output/gguf_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "checkpoint/output/stored_form.h"
#include "numbers/ggml_blocks.h"

namespace nibble {
namespace {

constexpr std::string_view kVisionPrefix = "visual.";
constexpr std::string_view kFusedGateUp = "mlp.experts.gate_up_proj";
constexpr std::string_view kFusedDown = "mlp.experts.down_proj";

Error unsupported(const TensorInfo& tensor, const std::string& message) {
  return Error(ErrorCode::kUnsupported, message, tensor.name);
}

GgufType block_type(BlockKind kind) {
  switch (kind) {
    case BlockKind::kQ4_0:
      return GgufType::kQ4_0;
    case BlockKind::kQ8_0:
      return GgufType::kQ8_0;
    case BlockKind::kQ4K:
      return GgufType::kQ4K;
    case BlockKind::kQ5K:
      return GgufType::kQ5K;
    case BlockKind::kQ6K:
      return GgufType::kQ6K;
    case BlockKind::kNvfp4:
      return GgufType::kNvfp4;
  }
  return GgufType::kF32;
}

// general.file_type by the type of most matrix bytes. Only for people: loaders look at each tensor.
uint32_t file_type_of(GgufType type) {
  constexpr std::pair<GgufType, uint32_t> kTypes[] = {
      {GgufType::kF32, 0},  {GgufType::kF16, 1},   {GgufType::kQ4_0, 2},
      {GgufType::kQ8_0, 7}, {GgufType::kQ4K, 15},  {GgufType::kQ5K, 17},
      {GgufType::kQ6K, 18}, {GgufType::kBF16, 32}, {GgufType::kNvfp4, 39},
  };
  for (const auto& [known, number] : kTypes) {
    if (known == type) return number;
  }
  return 0;
}

// Where the rows of a source tensor go.
struct Placed {
  const GgufNameRow* row = nullptr;
  std::string name;
  std::optional<uint64_t> expert;
  uint64_t first_row = 0;
  uint64_t n_rows = 0;
};

class Planner {
 public:
  Planner(const Checkpoint& source, PlainType plain_type, GgufPlan& out)
      : source_(source), plain_type_(plain_type), out_(out) {}

  Status run(const std::vector<PlannedTensor>& plan) {
    std::unordered_set<std::string_view> names;
    for (const PlannedTensor& planned : plan) {
      const bool known = planned.source != nullptr && source_.find(planned.source->name) != nullptr;
      if (!known || !names.insert(planned.source->name).second) {
        return bad_plan("the plan does not name every tensor of the source once");
      }
      RETURN_IF_ERROR(add(planned));
    }
    if (names.size() != source_.tensors().size()) {
      return bad_plan(fmt::format("the plan names {} of the {} tensors of the source", names.size(),
                                  source_.tensors().size()));
    }
    for (Draft& draft : drafts_) RETURN_IF_ERROR(finish(draft));
    return describe();
  }

 private:
  // A tensor of the output while its parts are gathered.
  struct Part {
    PlannedTensor planned;
    Placed placed;
  };
  struct Draft {
    GgufType type = GgufType::kF32;
    std::vector<Part> parts;
  };

  Error bad_plan(const std::string& message) const {
    return Error(ErrorCode::kInvalidArgument, message, source_.folder());
  }

  Status add(const PlannedTensor& planned) {
    const TensorInfo& tensor = *planned.source;
    if (tensor.name.starts_with(kVisionPrefix) || planned.target == WeightTarget::kLeaveOut) {
      out_.left_out.push_back(tensor.name);
      return {};
    }
    ASSIGN_OR_RETURN(const std::vector<Placed> places, place(tensor));
    for (const Placed& placed : places) {
      ASSIGN_OR_RETURN(const GgufType type, type_of(planned, *placed.row));
      const auto [at, is_new] = by_name_.emplace(placed.name, drafts_.size());
      if (is_new) drafts_.push_back({type, {}});
      Draft& draft = drafts_[at->second];
      if (draft.type != type || (!is_new && !placed.expert)) {
        return unsupported(tensor,
                           fmt::format("would share the GGUF tensor {} with {}, which is "
                                       "stored differently; convert all experts of a "
                                       "layer in one form",
                                       placed.name, draft.parts.front().planned.source->name));
      }
      draft.parts.push_back({planned, placed});
    }
    return {};
  }

  // Experts that the source keeps in one tensor: [experts, rows, cols], gate above up.
  std::optional<std::vector<Placed>> place_fused(const TensorInfo& tensor) const {
    const bool gate_up = tensor.name.find(kFusedGateUp) != std::string::npos;
    const size_t at = tensor.name.find(gate_up ? kFusedGateUp : kFusedDown);
    if (at == std::string::npos || tensor.shape.size() != 3) return std::nullopt;
    const std::string layer = tensor.name.substr(0, at);
    const uint64_t n_rows = tensor.shape[1];
    std::vector<Placed> places;
    const std::array<std::string_view, 2> halves = {"gate_proj", "up_proj"};
    for (size_t half = 0; half < (gate_up ? 2 : 1); ++half) {
      const uint64_t n = gate_up ? n_rows / 2 : n_rows;
      for (uint64_t expert = 0; expert < tensor.shape[0]; ++expert) {
        const std::string name = fmt::format("{}mlp.experts.{}.{}.weight", layer, expert,
                                             gate_up ? halves[half] : "down_proj");
        const auto placed = place_canonical_name(name, out_.shape.n_layers);
        if (!placed) return std::nullopt;
        places.push_back({placed->row, placed->gguf_name(), expert, expert * n_rows + half * n, n});
      }
    }
    return places;
  }

  Result<std::vector<Placed>> place(const TensorInfo& tensor) const {
    if (auto fused = place_fused(tensor)) return *std::move(fused);
    const auto placed = place_canonical_name(tensor.name, out_.shape.n_layers);
    if (!placed) {
      return unsupported(tensor, "has no place in a GGUF file of this architecture");
    }
    const uint64_t n_rows = matrix_rows(source_.matrix(tensor));
    return std::vector<Placed>{{placed->row, placed->gguf_name(), placed->expert, 0, n_rows}};
  }

  static bool is_nvfp4(const PlannedTensor& planned) {
    const TensorInfo& tensor = *planned.source;
    if (planned.target != WeightTarget::kKeep) return planned.target == WeightTarget::kNvfp4;
    return tensor.storage == Storage::kNvfp4 ||
           (tensor.storage == Storage::kBlocks && tensor.block_kind == BlockKind::kNvfp4);
  }

  Result<GgufType> type_of(const PlannedTensor& planned, const GgufNameRow& row) const {
    const TensorInfo& tensor = *planned.source;
    if (planned.target == WeightTarget::kFp8Tensor || planned.target == WeightTarget::kFp8Channel) {
      return unsupported(tensor,
                         "is to be FP8, which GGUF cannot hold; choose a recipe without "
                         "FP8, or another dialect");
    }
    if (is_nvfp4(planned)) {
      RETURN_IF_ERROR(check_nvfp4(tensor, row));
      return GgufType::kNvfp4;
    }
    if (row.kind == GgufKind::kSmall || tensor.shape.size() < 2) return GgufType::kF32;
    if (tensor.storage == Storage::kBlocks && planned.target == WeightTarget::kKeep &&
        !cuts_blocks(tensor)) {
      return block_type(tensor.block_kind);
    }
    return plain_type_of(tensor);
  }

  static Status check_nvfp4(const TensorInfo& tensor, const GgufNameRow& row) {
    if (row.kind == GgufKind::kSmall || row.name == "embed_tokens.weight") {
      return unsupported(tensor,
                         "is NVFP4, which readers of GGUF do not expect here; quantize "
                         "again without this tensor, or give --dequantize");
    }
    if (tensor.shape.size() == 2 && tensor.shape[1] % kGgufNvfp4Values == 0) return {};
    return unsupported(tensor,
                       fmt::format("cannot be NVFP4 in GGUF: its shape is {}, and blocks of GGUF "
                                   "need columns that are a multiple of {}; keep this tensor "
                                   "unquantized (--ignore), or choose another dialect",
                                   shape_text(tensor.shape), kGgufNvfp4Values));
  }

  // Blocks that are wider than a value head cannot follow a change of the order of heads.
  bool cuts_blocks(const TensorInfo& tensor) const {
    return out_.shape.source_order != ValueHeadOrder::kTiled &&
           value_head_part(tensor.name) == ValueHeadPart::kColumns &&
           out_.shape.heads.value_dim % block_values(tensor.block_kind) != 0;
  }

  GgufType plain_type_of(const TensorInfo& tensor) const {
    switch (plain_type_) {
      case PlainType::kF32:
        return GgufType::kF32;
      case PlainType::kF16:
        return GgufType::kF16;
      case PlainType::kQ8_0:
        return tensor.shape.back() % kQ8_0Values == 0 ? GgufType::kQ8_0 : GgufType::kF16;
      case PlainType::kBF16:
        return GgufType::kBF16;
      case PlainType::kKeep:
        break;
    }
    if (tensor.storage != Storage::kPlain) return GgufType::kBF16;
    if (tensor.dtype == DType::kF16) return GgufType::kF16;
    return tensor.dtype == DType::kBF16 ? GgufType::kBF16 : GgufType::kF32;
  }

  Status finish(Draft& draft) {
    if (draft.parts.front().placed.expert) RETURN_IF_ERROR(sort_experts(draft));
    const Part& first = draft.parts.front();
    const bool has_input_scale = input_scale_of(first.planned);
    GgufTarget target;
    target.values = first.placed.row->values;
    target.tensor.name = first.placed.name;
    target.tensor.type = draft.type;
    target.tensor.shape = shape_of(draft);
    for (const Part& part : draft.parts) {
      if (draft.type == GgufType::kNvfp4 && input_scale_of(part.planned) != has_input_scale) {
        return unsupported(*part.planned.source,
                           "has a static activation scale, or lacks one, unlike its siblings");
      }
      target.steps.push_back({entry_of(part.planned), part.placed.first_row, part.placed.n_rows});
    }
    const auto n_bytes = gguf_tensor_bytes(target.tensor.type, target.tensor.shape);
    if (!n_bytes || *n_bytes == 0) {
      return unsupported(*first.planned.source,
                         fmt::format("cannot be stored as {} with the shape {}",
                                     gguf_type_info(static_cast<uint32_t>(draft.type))->name,
                                     shape_text(target.tensor.shape)));
    }
    target.tensor.n_bytes = *n_bytes;
    out_.data_bytes += *n_bytes;
    count(target);
    const uint64_t n_scales = target.steps.size();
    const std::string name = target.tensor.name;
    const bool quantized = draft.type == GgufType::kNvfp4;
    out_.targets.push_back(std::move(target));
    if (!quantized) return {};
    add_scales(gguf_scale_name(name), GgufTarget::Content::kTensorScales, n_scales);
    if (has_input_scale) {
      add_scales(gguf_input_scale_name(name), GgufTarget::Content::kInputScales, n_scales);
    }
    return {};
  }

  Status sort_experts(Draft& draft) const {
    std::stable_sort(draft.parts.begin(), draft.parts.end(), [](const Part& a, const Part& b) {
      return a.placed.expert < b.placed.expert;
    });
    for (size_t i = 0; i < draft.parts.size(); ++i) {
      const Part& part = draft.parts[i];
      const bool fits =
          part.placed.expert == i &&
          part.planned.source->shape.back() == draft.parts.front().planned.source->shape.back() &&
          part.placed.n_rows == draft.parts.front().placed.n_rows;
      if (fits) continue;
      return unsupported(*part.planned.source,
                         fmt::format("stands where expert {} of {} was expected, of the same shape "
                                     "as its siblings",
                                     i, part.placed.name));
    }
    if (draft.parts.size() == out_.shape.n_experts) return {};
    return unsupported(
        *draft.parts.front().planned.source,
        fmt::format("{} holds {} experts, the config has {}", draft.parts.front().placed.name,
                    draft.parts.size(), out_.shape.n_experts));
  }

  Shape shape_of(const Draft& draft) const {
    const Part& first = draft.parts.front();
    const TensorInfo& tensor = *first.planned.source;
    if (first.placed.expert) {
      return {draft.parts.size(), first.placed.n_rows, tensor.shape.back()};
    }
    Shape shape = tensor.shape;
    if (first.placed.row->values == GgufValues::kOneAxisLess && shape.size() > 2) {
      const auto one = std::find(shape.begin(), shape.end(), 1u);
      if (one != shape.end()) shape.erase(one);
    }
    return shape;
  }

  bool input_scale_of(const PlannedTensor& planned) const {
    if (planned.target != WeightTarget::kKeep) return planned.has_input_scale;
    return stored_input_scale(source_, *planned.source).has_value();
  }

  // Entries are numbered in the order in which targets first need them.
  size_t entry_of(const PlannedTensor& planned) {
    const auto [at, is_new] = entries_.emplace(planned.source, out_.entries.size());
    if (is_new) out_.entries.push_back(planned);
    return at->second;
  }

  void add_scales(std::string name, GgufTarget::Content content, uint64_t n) {
    GgufTarget target;
    target.content = content;
    target.tensor.name = std::move(name);
    target.tensor.shape = {n};
    target.tensor.n_bytes = n * sizeof(float);
    out_.data_bytes += target.tensor.n_bytes;
    out_.targets.push_back(std::move(target));
  }

  void count(const GgufTarget& target) {
    const uint64_t n = n_elements(target.tensor.shape).value_or(0);
    out_.contents.n_parameters += n;
    if (target.tensor.shape.size() == 3) out_.contents.n_expert_parameters += n;
    if (target.tensor.shape.size() >= 2)
      bytes_by_type_[target.tensor.type] += target.tensor.n_bytes;
  }

  Status describe() {
    const TensorInfo* embedding = source_.find("embed_tokens.weight");
    if (embedding == nullptr || embedding->shape.size() != 2) {
      return Error(ErrorCode::kUnsupported, "holds no embed_tokens.weight, which GGUF needs",
                   source_.folder());
    }
    out_.contents.vocab_size = embedding->shape[0];
    for (const PlannedTensor& planned : out_.entries) {
      const auto placed = place_canonical_name(planned.source->name, out_.shape.n_layers);
      if (!placed || !placed->block || *placed->block < out_.shape.n_layers) continue;
      out_.contents.n_mtp_layers =
          std::max(out_.contents.n_mtp_layers, *placed->block - out_.shape.n_layers + 1);
    }
    GgufType most = GgufType::kF32;
    for (const auto& [type, n_bytes] : bytes_by_type_) {
      if (n_bytes > bytes_by_type_[most]) most = type;
    }
    if (bytes_by_type_.count(GgufType::kNvfp4) != 0) most = GgufType::kNvfp4;
    out_.contents.file_type = file_type_of(most);
    return {};
  }

  const Checkpoint& source_;
  PlainType plain_type_;
  GgufPlan& out_;
  std::vector<Draft> drafts_;
  std::unordered_map<std::string, size_t> by_name_;
  std::unordered_map<const TensorInfo*, size_t> entries_;
  std::map<GgufType, uint64_t> bytes_by_type_;
};

}  // namespace

Result<GgufPlan> plan_gguf(const Checkpoint& source, const std::vector<PlannedTensor>& plan,
                           PlainType plain_type) {
  GgufPlan out;
  ASSIGN_OR_RETURN(out.shape, read_gguf_model_shape(source.config(), source.folder()));
  Planner planner(source, plain_type, out);
  RETURN_IF_ERROR(planner.run(plan));
  return out;
}

}  // namespace nibble
