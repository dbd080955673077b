#include "checkpoint/gguf/model_sizes.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <limits>

#include "checkpoint/gguf/metadata.h"

namespace nibble {
namespace {

// Above every member of the family; they keep a damaged file from asking for much memory.
constexpr uint64_t kMaxBlocks = 2048;
constexpr uint64_t kMaxExpertsInAllBlocks = uint64_t{1} << 17;
constexpr uint64_t kMaxSize = uint64_t{1} << 24;

struct Family {
  std::string_view architecture;
  std::string_view class_name;
  std::string_view model_type;
  bool is_mixture_of_experts;
};
constexpr std::array<Family, 2> kFamilies = {{
    {"qwen35", "Qwen3_5ForConditionalGeneration", "qwen3_5", false},
    {"qwen35moe", "Qwen3_5MoeForConditionalGeneration", "qwen3_5_moe", true},
}};

Result<const Family*> find_family(const GgufMetadata& metadata) {
  ASSIGN_OR_RETURN(const std::string name, metadata.text("general.architecture"));
  for (const Family& family : kFamilies) {
    if (family.architecture == name) return &family;
  }
  const bool is_vision = name == "clip";
  return Error(
      ErrorCode::kUnsupportedArchitecture,
      fmt::format("holds a model of the architecture \"{:.80}\"{}; supported are qwen35 "
                  "and qwen35moe",
                  name, is_vision ? " (a vision tower alone; open the text model's file)" : ""),
      metadata.subject());
}

// Reads sizes under the architecture's prefix and keeps the first error.
class SizeReader {
 public:
  SizeReader(const GgufMetadata& metadata, std::string_view architecture)
      : metadata_(metadata), architecture_(architecture) {}

  uint64_t required(std::string_view key) {
    return checked(key, metadata_.uniform_count(full(key)));
  }
  uint64_t optional(std::string_view key, uint64_t fallback) {
    const auto found = metadata_.find_count(full(key));
    if (found && !found->has_value()) return fallback;
    return checked(key, found ? Result<uint64_t>(**found) : Result<uint64_t>(found.error()));
  }
  std::string full(std::string_view key) const { return fmt::format("{}.{}", architecture_, key); }
  void fail(Error error) {
    if (status_) status_ = std::move(error);
  }
  const Status& status() const { return status_; }

 private:
  uint64_t checked(std::string_view key, const Result<uint64_t>& size) {
    if (!size) fail(size.error());
    if (size && *size > kMaxSize) {
      fail(metadata_.corrupt(fmt::format("the metadata field \"{}\" is {}; expected at most {}",
                                         full(key), *size, kMaxSize)));
    }
    return size && *size <= kMaxSize ? *size : 0;
  }

  const GgufMetadata& metadata_;
  std::string_view architecture_;
  Status status_;
};

Status read_layer_kinds(const GgufMetadata& metadata, SizeReader& read, GgufModelSizes& sizes) {
  const std::string key = read.full("attention.recurrent_layers");
  ASSIGN_OR_RETURN(const auto kinds, metadata.find_counts(key));
  if (kinds && kinds->size() != sizes.n_layers && kinds->size() != sizes.n_blocks()) {
    return metadata.corrupt(
        fmt::format("\"{}\" has {} entries for {} blocks", key, kinds->size(), sizes.n_blocks()));
  }
  const uint64_t interval = read.optional("full_attention_interval", 4);
  RETURN_IF_ERROR(read.status());
  if (interval == 0) return metadata.corrupt("full_attention_interval is 0");
  sizes.is_recurrent.reserve(sizes.n_layers);
  for (uint64_t i = 0; i < sizes.n_layers; ++i) {
    sizes.is_recurrent.push_back(kinds ? (*kinds)[i] != 0 : (i + 1) % interval != 0);
  }
  return {};
}

// The head sizes must divide what they divide before anything is computed with them.
Status check_value_heads(const GgufMetadata& metadata, const ValueHeads& heads,
                         uint64_t inner_size) {
  if (heads.n_key_heads != 0 && heads.n_value_heads != 0 && inner_size != 0 &&
      heads.n_value_heads % heads.n_key_heads == 0 && inner_size % heads.n_value_heads == 0) {
    return {};
  }
  return metadata.corrupt(
      fmt::format("its DeltaNet layers have {} key heads (ssm.group_count), {} value heads "
                  "(ssm.time_step_rank) and {} values (ssm.inner_size); expected whole groups of "
                  "value heads per key head and whole values per head",
                  heads.n_key_heads, heads.n_value_heads, inner_size));
}

double exact_float(double value) {
  // Metadata are single precision; the shortest decimal of such a number is what was meant.
  return std::stod(fmt::format("{}", static_cast<float>(value)));
}

// The factor whose product with head_dim, cut to an integer, is `rotary_dim`.
double rotary_factor(uint64_t rotary_dim, uint64_t head_dim) {
  const auto dim = static_cast<double>(head_dim);
  double factor = static_cast<double>(rotary_dim) / dim;
  if (factor * dim < static_cast<double>(rotary_dim)) factor = std::nextafter(factor, 2.0);
  return factor;
}

Result<Json> rope_parameters(const GgufMetadata& metadata, SizeReader& read,
                             const GgufModelSizes& sizes) {
  ASSIGN_OR_RETURN(const double theta, metadata.number(read.full("rope.freq_base")));
  Json rope = Json::object();
  rope["mrope_interleaved"] = true;
  ASSIGN_OR_RETURN(auto sections, metadata.find_counts(read.full("rope.dimension_sections")));
  if (sections) {
    if (sections->size() > 3) sections->resize(3);  // the fourth is not used by this family
    rope["mrope_section"] = *sections;
  }
  const uint64_t rotary_dim = read.optional("rope.dimension_count", sizes.head_dim);
  rope["partial_rotary_factor"] = rotary_factor(rotary_dim, sizes.head_dim);
  rope["rope_theta"] = exact_float(theta);
  ASSIGN_OR_RETURN(const auto scaling, metadata.find_text(read.full("rope.scaling.type")));
  rope["rope_type"] = !scaling || *scaling == "none" ? "default" : *scaling;
  return rope;
}

Status add_feed_forward(SizeReader& read, bool is_mixture_of_experts, Json& text) {
  if (!is_mixture_of_experts) {
    text["intermediate_size"] = read.required("feed_forward_length");
    return read.status();
  }
  text["num_experts"] = read.required("expert_count");
  text["num_experts_per_tok"] = read.required("expert_used_count");
  text["moe_intermediate_size"] = read.required("expert_feed_forward_length");
  text["shared_expert_intermediate_size"] = read.required("expert_shared_feed_forward_length");
  return read.status();
}

const GgufTensor* find_tensor(const GgufHeader& header, std::string_view name) {
  for (const GgufTensor& tensor : header.tensors) {
    if (tensor.name == name) return &tensor;
  }
  return nullptr;
}

Json layer_types(const GgufModelSizes& sizes) {
  Json types = Json::array();
  for (const bool recurrent : sizes.is_recurrent) {
    types.push_back(recurrent ? "linear_attention" : "full_attention");
  }
  return types;
}

}  // namespace

Result<GgufModelSizes> read_gguf_model_sizes(const GgufHeader& header, const std::string& subject) {
  const GgufMetadata metadata(header, subject);
  ASSIGN_OR_RETURN(const Family* family, find_family(metadata));
  SizeReader read(metadata, family->architecture);
  GgufModelSizes sizes;
  sizes.architecture = family->architecture;
  const uint64_t n_blocks = read.required("block_count");
  sizes.n_mtp_layers = read.optional("nextn_predict_layers", 0);
  sizes.hidden_size = read.required("embedding_length");
  sizes.n_heads = read.required("attention.head_count");
  sizes.n_kv_heads = read.required("attention.head_count_kv");
  sizes.value_heads.n_key_heads = read.required("ssm.group_count");
  sizes.value_heads.n_value_heads = read.required("ssm.time_step_rank");
  sizes.value_heads.key_dim = read.required("ssm.state_size");
  const uint64_t inner_size = read.required("ssm.inner_size");
  if (family->is_mixture_of_experts) sizes.n_experts = read.required("expert_count");
  RETURN_IF_ERROR(read.status());
  if (n_blocks > kMaxBlocks || n_blocks <= sizes.n_mtp_layers ||
      sizes.n_experts * n_blocks > kMaxExpertsInAllBlocks) {
    return metadata.corrupt(fmt::format(
        "has {} blocks, {} of them for multi-token prediction, with {} experts each; "
        "expected 1 to {} blocks and at most {} experts altogether",
        n_blocks, sizes.n_mtp_layers, sizes.n_experts, kMaxBlocks, kMaxExpertsInAllBlocks));
  }
  sizes.n_layers = n_blocks - sizes.n_mtp_layers;
  if (sizes.n_heads == 0) return metadata.corrupt("its attention.head_count is 0");
  sizes.head_dim = read.optional("attention.key_length", sizes.hidden_size / sizes.n_heads);
  if (sizes.head_dim == 0) return metadata.corrupt("its attention.key_length is 0");
  if (read.optional("attention.value_length", sizes.head_dim) != sizes.head_dim) {
    return metadata.corrupt("its attention.value_length is not its attention.key_length");
  }
  RETURN_IF_ERROR(check_value_heads(metadata, sizes.value_heads, inner_size));
  sizes.value_heads.value_dim = inner_size / sizes.value_heads.n_value_heads;
  RETURN_IF_ERROR(read_layer_kinds(metadata, read, sizes));
  return sizes;
}

Result<Json> gguf_config(const GgufHeader& header, const GgufModelSizes& sizes,
                         const std::string& subject) {
  const GgufMetadata metadata(header, subject);
  ASSIGN_OR_RETURN(const Family* family, find_family(metadata));
  SizeReader read(metadata, family->architecture);
  const GgufTensor* embedding = find_tensor(header, "token_embd.weight");
  if (embedding == nullptr) return metadata.corrupt("has no tensor \"token_embd.weight\"");
  const bool is_tied = find_tensor(header, "output.weight") == nullptr;

  Json text = Json::object();
  text["attention_bias"] = false;
  text["attn_output_gate"] = true;
  text["dtype"] = "bfloat16";
  ASSIGN_OR_RETURN(const auto eos, metadata.find_count("tokenizer.ggml.eos_token_id"));
  if (eos && *eos < kMaxSize) text["eos_token_id"] = *eos;
  text["head_dim"] = sizes.head_dim;
  text["hidden_act"] = "silu";
  text["hidden_size"] = sizes.hidden_size;
  RETURN_IF_ERROR(add_feed_forward(read, family->is_mixture_of_experts, text));
  text["layer_types"] = layer_types(sizes);
  text["linear_conv_kernel_dim"] = read.required("ssm.conv_kernel");
  text["linear_key_head_dim"] = sizes.value_heads.key_dim;
  text["linear_num_key_heads"] = sizes.value_heads.n_key_heads;
  text["linear_num_value_heads"] = sizes.value_heads.n_value_heads;
  text["linear_value_head_dim"] = sizes.value_heads.value_dim;
  text[std::string(kValueHeadOrderField)] = kTiledOrder;
  text["mamba_ssm_dtype"] = "float32";
  text["max_position_embeddings"] = read.required("context_length");
  text["model_type"] = fmt::format("{}_text", family->model_type);
  text["mtp_num_hidden_layers"] = sizes.n_mtp_layers;
  text["num_attention_heads"] = sizes.n_heads;
  text["num_hidden_layers"] = sizes.n_layers;
  text["num_key_value_heads"] = sizes.n_kv_heads;
  ASSIGN_OR_RETURN(const double eps,
                   metadata.number(read.full("attention.layer_norm_rms_epsilon")));
  text["rms_norm_eps"] = exact_float(eps);
  ASSIGN_OR_RETURN(text["rope_parameters"], rope_parameters(metadata, read, sizes));
  text["tie_word_embeddings"] = is_tied;
  text["vocab_size"] = embedding->shape.front();
  RETURN_IF_ERROR(read.status());

  Json config = Json::object();
  config["architectures"] = Json::array({family->class_name});
  config["dtype"] = "bfloat16";
  config["model_type"] = family->model_type;
  config["text_config"] = std::move(text);
  config["tie_word_embeddings"] = is_tied;
  return config;
}

}  // namespace nibble
