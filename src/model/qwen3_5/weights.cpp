#include "model/qwen3_5/weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <string>

#include "core/cancel.h"
#include "core/thread_pool.h"
#include "model/tensor_table.h"

namespace nibble::qwen3_5 {
namespace {

// What the norm of a layer does with its stored weight.
enum class NormWeight { kPlain, kPlusOne };

Error not_finite(const TensorInfo& tensor, const std::string& path, std::string_view where) {
  return Error(ErrorCode::kNotFinite,
               fmt::format("{} holds a NaN or an infinity {}; the file is damaged or its training "
                           "diverged, so fetch or convert the model again",
                           tensor.name, where),
               path);
}

class WeightLoader {
 public:
  WeightLoader(const Checkpoint& checkpoint, Backend& backend, const ModelOptions& options,
               const ProgressSink& progress)
      : checkpoint_(checkpoint),
        backend_(backend),
        options_(options),
        progress_(progress),
        pool_(options.n_load_threads) {}

  // Asks the backend about every matrix and adds up the bytes, before any weight is read.
  Status plan(const ModelConfig& config);

  Result<std::unique_ptr<Matrix>> matrix(const std::string& name);
  // A small tensor, widened to F32, on the device.
  Result<Buffer> small(const std::string& name, NormWeight norm = NormWeight::kPlain);
  Result<Buffer> upload(const std::vector<float>& values);

  uint64_t n_weight_bytes() const { return n_weight_bytes_; }

 private:
  Status check_finite(const TensorInfo& tensor);
  void report(const TensorInfo& tensor);

  const Checkpoint& checkpoint_;
  Backend& backend_;
  const ModelOptions& options_;
  const ProgressSink& progress_;
  ThreadPool pool_;
  uint64_t n_done_bytes_ = 0;
  uint64_t n_total_bytes_ = 0;
  uint64_t n_weight_bytes_ = 0;
};

Status WeightLoader::plan(const ModelConfig& config) {
  for (const TensorSpec& spec : tensor_table(config)) {
    const TensorInfo& tensor = *checkpoint_.find(spec.name);
    n_total_bytes_ += tensor.n_bytes;
    const bool is_matrix = spec.is_linear || spec.role == TensorRole::kEmbedding ||
                           spec.role == TensorRole::kHead || spec.role == TensorRole::kRouter;
    const std::string subject = checkpoint_.file_path(tensor);
    if (!is_matrix) {
      if (tensor.storage == Storage::kPlain && is_floating(tensor.dtype)) continue;
      return Error(ErrorCode::kUnsupported,
                   fmt::format("{} is stored as {}; expected F32, BF16 or F16", spec.name,
                               storage_name(tensor)),
                   subject);
    }
    const auto kind = matrix_kind(checkpoint_.matrix(tensor));
    if (!kind) {
      return Error(kind.error().code, fmt::format("{}: {}", spec.name, kind.error().message),
                   subject);
    }
    if (!backend_.supports(*kind, spec.shape[0], spec.shape[1])) {
      return Error(ErrorCode::kUnsupported,
                   fmt::format("{} {} cannot be multiplied on {} in the form in which it is stored",
                               spec.name, shape_text(spec.shape), backend_.description()),
                   subject);
    }
  }
  return {};
}

void WeightLoader::report(const TensorInfo& tensor) {
  n_done_bytes_ += tensor.n_bytes;
  if (progress_) progress_({"load", tensor.name, n_done_bytes_, n_total_bytes_, true});
}

Status WeightLoader::check_finite(const TensorInfo& tensor) {
  constexpr uint64_t kNone = std::numeric_limits<uint64_t>::max();
  constexpr size_t kGrainElements = size_t{1} << 16;
  std::atomic<uint64_t> first{kNone};
  const auto keep_least = [&](uint64_t index) {
    uint64_t seen = first.load();
    while (index < seen && !first.compare_exchange_weak(seen, index)) {
    }
  };
  if (tensor.storage != Storage::kPlain) {
    const MatrixSource source = checkpoint_.matrix(tensor);
    const size_t grain_rows = kGrainElements / std::max<uint64_t>(1, matrix_cols(source)) + 1;
    pool_.parallel_for(matrix_rows(source), grain_rows, [&](size_t begin, size_t end) {
      if (const auto row = first_not_finite_row(source, begin, end - begin)) keep_least(*row);
    });
    if (first.load() == kNone) return {};
    return not_finite(tensor, checkpoint_.file_path(tensor),
                      fmt::format("in row {} or the scales of it", first.load()));
  }
  const TensorView view = checkpoint_.plain(tensor);
  const size_t width = dtype_bytes(view.dtype);
  pool_.parallel_for(view.bytes.size() / width, kGrainElements, [&](size_t begin, size_t end) {
    const TensorView part = {
        view.dtype, {end - begin}, view.bytes.subspan(begin * width, (end - begin) * width)};
    if (const auto found = first_not_finite(part)) keep_least(begin + *found);
  });
  if (first.load() == kNone) return {};
  return not_finite(tensor, checkpoint_.file_path(tensor),
                    fmt::format("at element {}", first.load()));
}

Result<std::unique_ptr<Matrix>> WeightLoader::matrix(const std::string& name) {
  RETURN_IF_ERROR(check_cancelled());
  const TensorInfo& tensor = *checkpoint_.find(name);
  if (options_.check_finite) RETURN_IF_ERROR(check_finite(tensor));
  ASSIGN_OR_RETURN(auto matrix, backend_.load_matrix(checkpoint_.matrix(tensor)));
  n_weight_bytes_ += matrix->n_bytes();
  report(tensor);
  return matrix;
}

Result<Buffer> WeightLoader::upload(const std::vector<float>& values) {
  const size_t n_bytes = values.size() * sizeof(float);
  ASSIGN_OR_RETURN(Buffer buffer, backend_.allocate(n_bytes));
  backend_.upload(values.data(), n_bytes, buffer.data());
  n_weight_bytes_ += n_bytes;
  return buffer;
}

Result<Buffer> WeightLoader::small(const std::string& name, NormWeight norm) {
  const TensorInfo& tensor = *checkpoint_.find(name);
  RETURN_IF_ERROR(check_finite(tensor));
  std::vector<float> values(n_elements(tensor.shape).value());
  RETURN_IF_ERROR(checkpoint_.read_rows_f32(tensor, 0, tensor.shape[0], values));
  if (norm == NormWeight::kPlusOne) {
    for (float& value : values) value += 1.0f;
  }
  report(tensor);
  return upload(values);
}

Result<DeltaNetWeights> load_delta_net(WeightLoader& load, const std::string& prefix) {
  DeltaNetWeights w;
  ASSIGN_OR_RETURN(w.in_proj_qkv, load.matrix(prefix + "in_proj_qkv.weight"));
  ASSIGN_OR_RETURN(w.in_proj_z, load.matrix(prefix + "in_proj_z.weight"));
  ASSIGN_OR_RETURN(w.in_proj_b, load.matrix(prefix + "in_proj_b.weight"));
  ASSIGN_OR_RETURN(w.in_proj_a, load.matrix(prefix + "in_proj_a.weight"));
  ASSIGN_OR_RETURN(w.out_proj, load.matrix(prefix + "out_proj.weight"));
  ASSIGN_OR_RETURN(w.conv1d, load.small(prefix + "conv1d.weight"));
  ASSIGN_OR_RETURN(w.a_log, load.small(prefix + "A_log"));
  ASSIGN_OR_RETURN(w.dt_bias, load.small(prefix + "dt_bias"));
  ASSIGN_OR_RETURN(w.norm, load.small(prefix + "norm.weight"));
  return w;
}

Result<AttentionWeights> load_attention(WeightLoader& load, const std::string& prefix) {
  AttentionWeights w;
  ASSIGN_OR_RETURN(w.q_proj, load.matrix(prefix + "q_proj.weight"));
  ASSIGN_OR_RETURN(w.k_proj, load.matrix(prefix + "k_proj.weight"));
  ASSIGN_OR_RETURN(w.v_proj, load.matrix(prefix + "v_proj.weight"));
  ASSIGN_OR_RETURN(w.o_proj, load.matrix(prefix + "o_proj.weight"));
  ASSIGN_OR_RETURN(w.q_norm, load.small(prefix + "q_norm.weight", NormWeight::kPlusOne));
  ASSIGN_OR_RETURN(w.k_norm, load.small(prefix + "k_norm.weight", NormWeight::kPlusOne));
  return w;
}

Result<MlpWeights> load_mlp(WeightLoader& load, const std::string& prefix) {
  MlpWeights w;
  ASSIGN_OR_RETURN(w.gate_proj, load.matrix(prefix + "gate_proj.weight"));
  ASSIGN_OR_RETURN(w.up_proj, load.matrix(prefix + "up_proj.weight"));
  ASSIGN_OR_RETURN(w.down_proj, load.matrix(prefix + "down_proj.weight"));
  return w;
}

Result<ExpertWeights> load_experts(WeightLoader& load, int64_t n_experts,
                                   const std::string& prefix) {
  ExpertWeights w;
  ASSIGN_OR_RETURN(w.router, load.matrix(prefix + "gate.weight"));
  const auto n = static_cast<size_t>(n_experts);
  for (auto* projection : {&w.gate_proj, &w.up_proj, &w.down_proj}) projection->reserve(n);
  for (size_t i = 0; i < n; ++i) {
    ASSIGN_OR_RETURN(MlpWeights expert, load_mlp(load, fmt::format("{}experts.{}.", prefix, i)));
    w.gate_proj.push_back(std::move(expert.gate_proj));
    w.up_proj.push_back(std::move(expert.up_proj));
    w.down_proj.push_back(std::move(expert.down_proj));
  }
  ASSIGN_OR_RETURN(w.shared, load_mlp(load, prefix + "shared_expert."));
  ASSIGN_OR_RETURN(w.shared_gate, load.matrix(prefix + "shared_expert_gate.weight"));
  return w;
}

Result<LayerWeights> load_layer(WeightLoader& load, const ModelConfig& config, LayerKind kind,
                                const std::string& prefix) {
  LayerWeights w;
  ASSIGN_OR_RETURN(w.input_norm,
                   load.small(prefix + "input_layernorm.weight", NormWeight::kPlusOne));
  if (kind == LayerKind::kLinearAttention) {
    ASSIGN_OR_RETURN(w.delta_net, load_delta_net(load, prefix + "linear_attn."));
  } else {
    ASSIGN_OR_RETURN(w.attention, load_attention(load, prefix + "self_attn."));
  }
  ASSIGN_OR_RETURN(w.post_attention_norm,
                   load.small(prefix + "post_attention_layernorm.weight", NormWeight::kPlusOne));
  if (config.n_experts > 0) {
    ASSIGN_OR_RETURN(w.experts, load_experts(load, config.n_experts, prefix + "mlp."));
  } else {
    ASSIGN_OR_RETURN(w.mlp, load_mlp(load, prefix + "mlp."));
  }
  return w;
}

// Bytes of the experts that one token is not sent to, if all experts get as many tokens.
uint64_t idle_bytes(const ModelConfig& config, const Weights& weights) {
  if (config.n_experts == 0) return 0;
  uint64_t n_bytes = 0;
  for (const LayerWeights& layer : weights.layers) {
    const ExpertWeights& w = *layer.experts;
    for (const auto* projection : {&w.gate_proj, &w.up_proj, &w.down_proj}) {
      for (const auto& matrix : *projection) n_bytes += matrix->n_bytes();
    }
  }
  const auto n_experts = static_cast<uint64_t>(config.n_experts);
  const auto n_idle = n_experts - static_cast<uint64_t>(config.n_experts_per_token);
  return n_bytes / n_experts * n_idle;
}

// theta^(-2i / rotary_dim) in single precision, as the model was trained.
std::vector<float> rotary_frequencies(const ModelConfig& config) {
  std::vector<float> inv_freq(static_cast<size_t>(config.rotary_dim / 2));
  const auto theta = static_cast<float>(config.rope_theta);
  for (size_t i = 0; i < inv_freq.size(); ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(config.rotary_dim);
    inv_freq[i] = 1.0f / std::pow(theta, exponent);
  }
  return inv_freq;
}

}  // namespace

Result<Weights> load_weights(const Checkpoint& checkpoint, const ModelConfig& config,
                             Backend& backend, const ModelOptions& options,
                             const ProgressSink& progress) {
  WeightLoader load(checkpoint, backend, options, progress);
  RETURN_IF_ERROR(load.plan(config));
  Weights weights;
  ASSIGN_OR_RETURN(weights.embedding, load.matrix("embed_tokens.weight"));
  const uint64_t n_embedding_bytes = weights.embedding->n_bytes();
  // A stored head is used even where the config calls it tied: equal bytes then, and the truth if
  // the flag is wrong.
  if (checkpoint.find("lm_head.weight") != nullptr) {
    ASSIGN_OR_RETURN(weights.stored_head, load.matrix("lm_head.weight"));
  }
  ASSIGN_OR_RETURN(weights.final_norm, load.small("norm.weight", NormWeight::kPlusOne));
  ASSIGN_OR_RETURN(weights.inv_freq, load.upload(rotary_frequencies(config)));
  for (size_t i = 0; i < config.layer_kinds.size(); ++i) {
    ASSIGN_OR_RETURN(LayerWeights layer,
                     load_layer(load, config, config.layer_kinds[i], fmt::format("layers.{}.", i)));
    weights.layers.push_back(std::move(layer));
  }
  weights.bytes_per_token = load.n_weight_bytes() -
                            (weights.stored_head == nullptr ? 0 : n_embedding_bytes) -
                            idle_bytes(config, weights);
  RETURN_IF_ERROR(checkpoint.intact());
  return weights;
}

}  // namespace nibble::qwen3_5
