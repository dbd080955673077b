#include "checkpoint/gguf_output/model_fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <initializer_list>
#include <limits>
#include <optional>
#include <string_view>

namespace nibble {
namespace {

constexpr uint64_t kMaxCount = uint64_t{1} << 24;
constexpr uint64_t kMaxLayers = 1024;
constexpr uint32_t kQuantizationVersion = 2;

// Reads numbers of one JSON object and remembers the first that is wrong.
class ConfigNumbers {
 public:
  ConfigNumbers(const Json& object, const std::string& subject)
      : object_(object), subject_(subject) {}

  const Json* find(const char* name) const {
    const auto at = object_.is_object() ? object_.find(name) : object_.end();
    return at == object_.end() || at->is_null() ? nullptr : &*at;
  }

  std::optional<uint64_t> optional_count(const char* name) {
    const Json* value = find(name);
    if (value == nullptr) return std::nullopt;
    if (value->is_number_unsigned() && value->get<uint64_t>() <= kMaxCount * 64) {
      return value->get<uint64_t>();
    }
    if (value->is_number_integer() && value->get<int64_t>() >= 0) return value->get<uint64_t>();
    fail(name, "a count");
    return std::nullopt;
  }

  uint64_t count(const char* name) {
    const auto value = optional_count(name);
    if (!value || *value == 0) fail(name, "a count of at least 1");
    return value.value_or(1);
  }

  double number(const char* name, double fallback) {
    const Json* value = find(name);
    if (value == nullptr) return fallback;
    if (value->is_number() && std::isfinite(value->get<double>())) return value->get<double>();
    fail(name, "a number");
    return fallback;
  }

  void fail(const char* name, std::string_view expected) {
    if (!status_) return;
    const Json* value = find(name);
    status_ = Error(ErrorCode::kCorrupt,
                    fmt::format("{} is {:.80}; {} was expected", name,
                                value == nullptr ? "missing" : dump_json_line(*value), expected),
                    subject_);
  }
  const Status& status() const { return status_; }

 private:
  const Json& object_;
  const std::string& subject_;
  Status status_;
};

const Json& text_config(const Json& config) {
  const auto at = config.find("text_config");
  return at != config.end() && at->is_object() ? *at : config;
}

// Rotary settings stand in rope_parameters, in rope_scaling, or beside the others.
const Json* find_rope(const ConfigNumbers& text, const char* name) {
  for (const char* place : {"rope_parameters", "rope_scaling"}) {
    const Json* object = text.find(place);
    if (object == nullptr || !object->is_object()) continue;
    const auto at = object->find(name);
    if (at != object->end() && !at->is_null()) return &*at;
  }
  return text.find(name);
}

double rope_number(const ConfigNumbers& text, const char* name, double fallback) {
  const Json* value = find_rope(text, name);
  return value != nullptr && value->is_number() ? value->get<double>() : fallback;
}

// Fields of one file, added one after the other.
class Fields {
 public:
  explicit Fields(std::string architecture) : architecture_(std::move(architecture)) {}

  void add(std::string_view key, GgufValue value) {
    fields_.push_back({std::string(key), std::move(value)});
  }
  void add_model(std::string_view key, GgufValue value) {
    fields_.push_back({fmt::format("{}.{}", architecture_, key), std::move(value)});
  }
  void add_count(std::string_view key, uint64_t value) {
    add_model(key, static_cast<uint32_t>(
                       std::min<uint64_t>(value, std::numeric_limits<uint32_t>::max())));
  }
  std::vector<GgufField> take() { return std::move(fields_); }

 private:
  std::string architecture_;
  std::vector<GgufField> fields_;
};

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// Words in lower case get capitals, but for versions and sizes ("v2", "9b").
std::string title_word(std::string word) {
  const bool has_capital =
      std::any_of(word.begin(), word.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
  const bool is_version = word.size() > 1 && word[0] == 'v' && word[1] >= '0' && word[1] <= '9';
  if (has_capital || is_version || (word[0] >= '0' && word[0] <= '9')) return word;
  bool begins = true;
  for (char& c : word) {
    if (begins && c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    begins = !is_letter(c);
  }
  return word;
}

// "qwen3.5-9b-base" becomes "Qwen3.5 9b Base".
std::string title_of(const std::string& name) {
  std::string title;
  std::string word;
  for (const char c : name + "-") {
    if (c != '-' && c != ' ') {
      word.push_back(c);
    } else if (!word.empty()) {
      title += (title.empty() ? "" : " ") + title_word(std::move(word));
      word.clear();
    }
  }
  return title;
}

// "14M", "8.9B": two digits at least.
std::string rounded_count(uint64_t count) {
  const auto n = static_cast<double>(count);
  const auto [scaled, unit] = n > 1e12  ? std::pair(n * 1e-12, 'T')
                              : n > 1e9 ? std::pair(n * 1e-9, 'B')
                              : n > 1e6 ? std::pair(n * 1e-6, 'M')
                                        : std::pair(n * 1e-3, 'K');
  const double whole = std::nearbyint(scaled);
  const int n_digits = whole >= 10.0 ? 2 : whole >= 1.0 ? 1 : 0;
  return fmt::format("{:.{}f}{}", scaled, 2 - n_digits, unit);
}

std::string size_label(const GgufContents& contents, uint64_t n_experts) {
  if (n_experts == 0) return rounded_count(contents.n_parameters);
  const uint64_t shared = contents.n_parameters - contents.n_expert_parameters;
  return fmt::format("{}x{}", n_experts,
                     rounded_count(shared + contents.n_expert_parameters / n_experts));
}

// Default sampling settings, where generation_config.json has them.
void add_sampling(const Json& generation, Fields& fields) {
  if (!generation.is_object()) return;
  const auto number = [&](const char* name) -> std::optional<double> {
    const auto at = generation.find(name);
    if (at == generation.end() || !at->is_number()) return std::nullopt;
    return at->get<double>();
  };
  if (const auto top_k = number("top_k"); top_k && std::abs(*top_k) < 1e9) {
    fields.add("general.sampling.top_k", static_cast<int32_t>(*top_k));
  }
  constexpr std::pair<const char*, std::string_view> kNumbers[] = {
      {"top_p", "general.sampling.top_p"},
      {"min_p", "general.sampling.min_p"},
      {"temperature", "general.sampling.temp"},
      {"repetition_penalty", "general.sampling.penalty_repeat"},
  };
  for (const auto& [name, key] : kNumbers) {
    if (const auto value = number(name)) fields.add(key, static_cast<float>(*value));
  }
}

Status add_rope(const ConfigNumbers& text, uint64_t head_dim, const std::string& subject,
                Fields& fields) {
  for (const char* name : {"rope_type", "type"}) {
    const Json* type = find_rope(text, name);
    if (type == nullptr || *type == "default" || *type == "mrope") continue;
    return Error(ErrorCode::kUnsupported,
                 fmt::format("the rotary embedding has the type {:.80}; nibble writes only "
                             "\"default\" to GGUF (no context extension)",
                             dump_json_line(*type)),
                 subject);
  }
  std::vector<int32_t> sections = {11, 11, 10, 0};
  if (const Json* stated = find_rope(text, "mrope_section"); stated != nullptr) {
    const bool fits =
        stated->is_array() && stated->size() <= 4 &&
        std::all_of(stated->begin(), stated->end(), [](const Json& n) {
          return n.is_number_integer() && n.get<int64_t>() >= 0 && n.get<int64_t>() < 4096;
        });
    if (!fits) {
      return Error(ErrorCode::kCorrupt,
                   fmt::format("mrope_section is {:.80}; up to four counts were expected",
                               dump_json_line(*stated)),
                   subject);
    }
    sections.assign(4, 0);
    for (size_t i = 0; i < stated->size(); ++i) sections[i] = (*stated)[i].get<int32_t>();
  }
  fields.add_model("rope.dimension_sections", GgufArray(std::move(sections)));
  fields.add_model("rope.freq_base", static_cast<float>(rope_number(text, "rope_theta", 10000.0)));
  const double factor = rope_number(text, "partial_rotary_factor", 0.25);
  fields.add_count("rope.dimension_count",
                   static_cast<uint64_t>(static_cast<double>(head_dim) * factor));
  return {};
}

// layer_types wins over full_attention_interval, as for every reader of the config.
Status add_layer_kinds(const ConfigNumbers& text, uint64_t n_layers, uint64_t n_mtp_layers,
                       const std::string& subject, Fields& fields) {
  ConfigNumbers numbers = text;
  const uint64_t interval = numbers.optional_count("full_attention_interval").value_or(4);
  RETURN_IF_ERROR(numbers.status());
  std::vector<bool> recurrent;
  recurrent.reserve(n_layers + n_mtp_layers);
  if (const Json* types = text.find("layer_types"); types != nullptr) {
    if (!types->is_array() || types->size() != n_layers) {
      return Error(ErrorCode::kCorrupt,
                   fmt::format("layer_types is not a list of {} layer types", n_layers), subject);
    }
    for (const Json& type : *types) recurrent.push_back(type == "linear_attention");
  } else {
    if (interval == 0) {
      return Error(ErrorCode::kCorrupt, "full_attention_interval is 0", subject);
    }
    for (uint64_t i = 1; i <= n_layers; ++i) recurrent.push_back(i % interval != 0);
  }
  recurrent.resize(n_layers + n_mtp_layers, false);
  fields.add_model("attention.recurrent_layers", GgufArray(std::move(recurrent)));
  fields.add_count("full_attention_interval", interval);
  return {};
}

void add_experts(ConfigNumbers& text, Fields& fields) {
  fields.add_count("expert_count", text.count("num_experts"));
  fields.add_count("expert_used_count", text.count("num_experts_per_tok"));
  fields.add_count("expert_feed_forward_length", text.count("moe_intermediate_size"));
  if (const auto n = text.optional_count("shared_expert_intermediate_size")) {
    fields.add_count("expert_shared_feed_forward_length", *n);
  }
}

void add_attention(ConfigNumbers& text, uint64_t head_dim, Fields& fields) {
  const uint64_t n_heads = text.count("num_attention_heads");
  fields.add_count("attention.head_count", n_heads);
  fields.add_count("attention.head_count_kv",
                   text.optional_count("num_key_value_heads").value_or(n_heads));
  fields.add_model("attention.layer_norm_rms_epsilon",
                   static_cast<float>(text.number("rms_norm_eps", 1e-6)));
  fields.add_count("attention.key_length", head_dim);
  fields.add_count("attention.value_length", head_dim);
}

void add_delta_net(const ConfigNumbers& text, const ValueHeads& heads, Fields& fields) {
  ConfigNumbers numbers = text;
  fields.add_count("ssm.conv_kernel", numbers.optional_count("linear_conv_kernel_dim").value_or(4));
  fields.add_count("ssm.state_size", heads.key_dim);
  fields.add_count("ssm.group_count", heads.n_key_heads);
  fields.add_count("ssm.time_step_rank", heads.n_value_heads);
  fields.add_count("ssm.inner_size", heads.n_value_heads * heads.value_dim);
}

}  // namespace

Result<GgufModelShape> read_gguf_model_shape(const Json& config, const std::string& subject) {
  const Json& json = text_config(config);
  ConfigNumbers text(json, subject);
  const auto type = json.find("model_type");
  const std::string model_type =
      type != json.end() && type->is_string() ? type->get<std::string>() : std::string();
  if (!model_type.empty() && !model_type.starts_with("qwen3_5")) {
    return Error(ErrorCode::kUnsupported,
                 fmt::format("has the model_type \"{:.80}\"; GGUF is written for the qwen3_5 "
                             "family",
                             model_type),
                 subject);
  }
  GgufModelShape shape;
  shape.n_layers = text.count("num_hidden_layers");
  if (shape.n_layers > kMaxLayers) text.fail("num_hidden_layers", "at most 1024 layers");
  shape.n_experts = text.optional_count("num_experts").value_or(0);
  shape.is_mixture_of_experts = shape.n_experts != 0;
  shape.heads.n_key_heads = text.count("linear_num_key_heads");
  shape.heads.n_value_heads = text.count("linear_num_value_heads");
  shape.heads.key_dim = text.count("linear_key_head_dim");
  shape.heads.value_dim = text.count("linear_value_head_dim");
  if (shape.heads.n_value_heads % shape.heads.n_key_heads != 0) {
    text.fail("linear_num_value_heads", "a multiple of linear_num_key_heads");
  }
  RETURN_IF_ERROR(text.status());
  const auto order = json.find(std::string(kValueHeadOrderField));
  if (order != json.end() && *order == kTiledOrder) shape.source_order = ValueHeadOrder::kTiled;
  return shape;
}

Result<std::vector<GgufField>> gguf_model_fields(const Json& config, const Json& generation,
                                                 const GgufContents& contents,
                                                 const std::string& subject) {
  ASSIGN_OR_RETURN(const GgufModelShape shape, read_gguf_model_shape(config, subject));
  ConfigNumbers text(text_config(config), subject);
  if (shape.heads.key_dim != shape.heads.value_dim) {
    return Error(ErrorCode::kUnsupported,
                 fmt::format("the DeltaNet key heads have {} dimensions and the value heads {}; "
                             "GGUF has room for one size only",
                             shape.heads.key_dim, shape.heads.value_dim),
                 subject);
  }
  Fields fields(shape.architecture());
  fields.add("general.architecture", shape.architecture());
  fields.add("general.type", std::string("model"));
  add_sampling(generation, fields);
  fields.add("general.name", title_of(contents.name));
  fields.add("general.size_label", size_label(contents, shape.n_experts));
  fields.add_count("block_count", shape.n_layers + contents.n_mtp_layers);
  if (const auto n = text.optional_count("max_position_embeddings")) {
    fields.add_count("context_length", *n);
  }
  const uint64_t hidden_size = text.count("hidden_size");
  const uint64_t head_dim =
      text.optional_count("head_dim")
          .value_or(hidden_size / std::max<uint64_t>(text.count("num_attention_heads"), 1));
  fields.add_count("embedding_length", hidden_size);
  if (const auto n = text.optional_count("intermediate_size")) {
    fields.add_count("feed_forward_length", *n);
  }
  add_attention(text, head_dim, fields);
  RETURN_IF_ERROR(add_rope(text, head_dim, subject, fields));
  if (shape.is_mixture_of_experts) add_experts(text, fields);
  if (contents.n_mtp_layers > 0) fields.add_count("nextn_predict_layers", contents.n_mtp_layers);
  add_delta_net(text, shape.heads, fields);
  RETURN_IF_ERROR(add_layer_kinds(text, shape.n_layers, contents.n_mtp_layers, subject, fields));
  RETURN_IF_ERROR(text.status());
  fields.add("general.file_type", contents.file_type);
  fields.add("general.quantization_version", kQuantizationVersion);
  return fields.take();
}

}  // namespace nibble
