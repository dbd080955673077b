#include "model/tensor_table.h"

#include <fmt/format.h>

#include <unordered_map>
#include <unordered_set>

#include "core/check.h"

namespace nibble {
namespace {

constexpr size_t kMaxListed = 20;

// Appends rows of one layer (or of none) to the table.
class TableBuilder {
 public:
  explicit TableBuilder(const ModelConfig& config) : c_(config) {}

  void add_outside(std::string name, Shape shape, TensorRole role) {
    table_.push_back({std::move(name), std::move(shape), role, -1, false, {}});
  }

  void add_layer(int64_t layer) {
    layer_ = layer;
    const uint64_t hidden = size(c_.hidden_size);
    add("input_layernorm.weight", {hidden}, TensorRole::kNorm);
    const bool is_linear_attention =
        c_.layer_kinds[static_cast<size_t>(layer)] == LayerKind::kLinearAttention;
    if (is_linear_attention) {
      add_delta_net();
    } else {
      add_attention();
    }
    add("post_attention_layernorm.weight", {hidden}, TensorRole::kNorm);
    if (c_.n_experts == 0) {
      add_mlp("mlp", c_.intermediate_size, TensorRole::kMlpInput, TensorRole::kMlpOutput);
    } else {
      add_experts();
    }
  }

  std::vector<TensorSpec> take() { return std::move(table_); }

 private:
  static uint64_t size(int64_t n) { return static_cast<uint64_t>(n); }
  std::string prefixed(std::string_view name) const {
    return fmt::format("layers.{}.{}", layer_, name);
  }
  void add(std::string_view name, Shape shape, TensorRole role) {
    table_.push_back({prefixed(name), std::move(shape), role, layer_, false, {}});
  }
  void add_linear(std::string_view module, int64_t rows, int64_t cols, TensorRole role,
                  std::string_view group = {}) {
    table_.push_back({prefixed(module) + ".weight",
                      {size(rows), size(cols)},
                      role,
                      layer_,
                      true,
                      group.empty() ? std::string() : prefixed(group)});
  }

  void add_attention() {
    const int64_t query = c_.n_heads * c_.head_dim;
    const int64_t key = c_.n_kv_heads * c_.head_dim;
    const auto input = TensorRole::kAttentionInput;
    // Each query head's rows are followed by the rows of its output gate.
    add_linear("self_attn.q_proj", 2 * query, c_.hidden_size, input, "self_attn.qkv");
    add_linear("self_attn.k_proj", key, c_.hidden_size, input, "self_attn.qkv");
    add_linear("self_attn.v_proj", key, c_.hidden_size, input, "self_attn.qkv");
    add("self_attn.q_norm.weight", {size(c_.head_dim)}, TensorRole::kNorm);
    add("self_attn.k_norm.weight", {size(c_.head_dim)}, TensorRole::kNorm);
    add_linear("self_attn.o_proj", c_.hidden_size, query, TensorRole::kAttentionOutput);
  }

  void add_delta_net() {
    const int64_t values = c_.linear_value_size();
    const int64_t heads = c_.linear_n_value_heads;
    const auto small = TensorRole::kDeltaSmall;
    add_linear("linear_attn.in_proj_qkv", c_.conv_channels(), c_.hidden_size,
               TensorRole::kDeltaInput, "linear_attn.qkvz");
    add_linear("linear_attn.in_proj_z", values, c_.hidden_size, TensorRole::kDeltaInput,
               "linear_attn.qkvz");
    add_linear("linear_attn.in_proj_b", heads, c_.hidden_size, TensorRole::kDeltaGate,
               "linear_attn.ba");
    add_linear("linear_attn.in_proj_a", heads, c_.hidden_size, TensorRole::kDeltaGate,
               "linear_attn.ba");
    add("linear_attn.conv1d.weight", {size(c_.conv_channels()), 1, size(c_.conv_kernel)}, small);
    add("linear_attn.A_log", {size(heads)}, small);
    add("linear_attn.dt_bias", {size(heads)}, small);
    add("linear_attn.norm.weight", {size(c_.linear_value_dim)}, TensorRole::kNorm);
    add_linear("linear_attn.out_proj", c_.hidden_size, values, TensorRole::kDeltaOutput);
  }

  void add_mlp(const std::string& module, int64_t inner, TensorRole input, TensorRole output) {
    const std::string group = module + ".gate_up";
    add_linear(module + ".gate_proj", inner, c_.hidden_size, input, group);
    add_linear(module + ".up_proj", inner, c_.hidden_size, input, group);
    add_linear(module + ".down_proj", c_.hidden_size, inner, output);
  }

  void add_experts() {
    const uint64_t hidden = size(c_.hidden_size);
    add("mlp.gate.weight", {size(c_.n_experts), hidden}, TensorRole::kRouter);
    for (int64_t i = 0; i < c_.n_experts; ++i) {
      add_mlp(fmt::format("mlp.experts.{}", i), c_.expert_intermediate_size,
              TensorRole::kExpertInput, TensorRole::kExpertOutput);
    }
    add_mlp("mlp.shared_expert", c_.shared_expert_intermediate_size, TensorRole::kMlpInput,
            TensorRole::kMlpOutput);
    add("mlp.shared_expert_gate.weight", {1, hidden}, TensorRole::kRouter);
  }

  const ModelConfig& c_;
  int64_t layer_ = -1;
  std::vector<TensorSpec> table_;
};

TensorSpec head_spec(const ModelConfig& config) {
  return {"lm_head.weight",
          {static_cast<uint64_t>(config.vocab_size), static_cast<uint64_t>(config.hidden_size)},
          TensorRole::kHead,
          -1,
          false,
          {}};
}

std::optional<TensorRole> role_by_name(std::string_view name) {
  if (name.starts_with("mtp.")) return TensorRole::kMtp;
  if (name.starts_with("visual.")) return TensorRole::kVision;
  // Written by tools that calibrate an 8-bit cache, beside the attention or its projections.
  const bool is_attention = name.find(".self_attn.") != std::string_view::npos;
  if (is_attention && (name.ends_with(".k_scale") || name.ends_with(".v_scale"))) {
    return TensorRole::kCacheScale;
  }
  return std::nullopt;
}

}  // namespace

std::string_view role_name(TensorRole role) {
  switch (role) {
    case TensorRole::kEmbedding:
      return "embedding";
    case TensorRole::kHead:
      return "head";
    case TensorRole::kNorm:
      return "norm";
    case TensorRole::kAttentionInput:
      return "attention input";
    case TensorRole::kAttentionOutput:
      return "attention output";
    case TensorRole::kDeltaInput:
      return "delta input";
    case TensorRole::kDeltaGate:
      return "delta gate";
    case TensorRole::kDeltaOutput:
      return "delta output";
    case TensorRole::kDeltaSmall:
      return "delta small";
    case TensorRole::kMlpInput:
      return "mlp input";
    case TensorRole::kMlpOutput:
      return "mlp output";
    case TensorRole::kRouter:
      return "router";
    case TensorRole::kExpertInput:
      return "expert input";
    case TensorRole::kExpertOutput:
      return "expert output";
    case TensorRole::kMtp:
      return "mtp";
    case TensorRole::kVision:
      return "vision";
    case TensorRole::kCacheScale:
      return "cache scale";
  }
  CHECK(false);
}

std::vector<TensorSpec> tensor_table(const ModelConfig& config) {
  const Shape embedding = {static_cast<uint64_t>(config.vocab_size),
                           static_cast<uint64_t>(config.hidden_size)};
  TableBuilder builder(config);
  builder.add_outside("embed_tokens.weight", embedding, TensorRole::kEmbedding);
  for (int64_t layer = 0; layer < config.n_layers; ++layer) builder.add_layer(layer);
  builder.add_outside("norm.weight", {static_cast<uint64_t>(config.hidden_size)},
                      TensorRole::kNorm);
  std::vector<TensorSpec> table = builder.take();
  if (!config.tie_word_embeddings) table.push_back(head_spec(config));
  return table;
}

struct TensorRoles::Impl {
  std::unordered_map<std::string, TensorSpec> specs;

  void add(std::vector<TensorSpec> table) {
    for (TensorSpec& spec : table) {
      const std::string name = spec.name;
      specs.emplace(name, std::move(spec));
    }
  }
};

TensorRoles::TensorRoles(const ModelConfig& config) : impl_(std::make_unique<Impl>()) {
  impl_->add(tensor_table(config));
  impl_->add({head_spec(config)});
}

TensorRoles::~TensorRoles() = default;

const TensorSpec* TensorRoles::find(std::string_view name) const {
  const auto found = impl_->specs.find(std::string(name));
  return found == impl_->specs.end() ? nullptr : &found->second;
}

std::optional<TensorRole> TensorRoles::role_of(std::string_view name) const {
  if (const TensorSpec* spec = find(name)) return spec->role;
  return role_by_name(name);
}

Status check_tensors(const Checkpoint& checkpoint, const ModelConfig& config) {
  std::vector<std::string> problems;
  std::unordered_set<std::string> known = {"lm_head.weight"};
  std::vector<TensorSpec> table = tensor_table(config);
  if (config.tie_word_embeddings && checkpoint.find("lm_head.weight") != nullptr) {
    table.push_back(head_spec(config));
  }
  for (const TensorSpec& spec : table) {
    known.insert(spec.name);
    const TensorInfo* tensor = checkpoint.find(spec.name);
    if (tensor == nullptr) {
      problems.push_back(fmt::format("missing: {} {}", spec.name, shape_text(spec.shape)));
    } else if (tensor->shape != spec.shape) {
      problems.push_back(fmt::format("wrong shape: {} is {}, expected {}", spec.name,
                                     shape_text(tensor->shape), shape_text(spec.shape)));
    }
  }
  for (const TensorInfo& tensor : checkpoint.tensors()) {
    if (known.count(tensor.name) == 0 && !role_by_name(tensor.name)) {
      problems.push_back(
          fmt::format("not part of the model: {} {}", tensor.name, shape_text(tensor.shape)));
    }
  }
  if (problems.empty()) return {};
  const size_t n_problems = problems.size();
  if (n_problems > kMaxListed) {
    problems.resize(kMaxListed);
    problems.push_back(fmt::format("and {} more", n_problems - kMaxListed));
  }
  return Error(ErrorCode::kMismatch,
               fmt::format("the tensors do not fit config.json ({} {}):\n  {}", n_problems,
                           n_problems == 1 ? "problem" : "problems", fmt::join(problems, "\n  ")),
               checkpoint.folder());
}

}  // namespace nibble
