#include "model/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/log.h"
#include "model/field_reader.h"
#include "model/registry.h"

namespace nibble {
namespace {

// Far above every published member, and low enough that no product of sizes overflows and that a
// damaged config cannot ask for absurd memory.
constexpr FieldReader::IntegerRange kWidth = {1, int64_t{1} << 20};
constexpr FieldReader::IntegerRange kVocabulary = {1, int64_t{1} << 24};
constexpr FieldReader::IntegerRange kLayers = {1, 1024};
constexpr FieldReader::IntegerRange kHeads = {1, 4096};
constexpr FieldReader::IntegerRange kHeadDim = {1, 4096};
constexpr FieldReader::IntegerRange kKernel = {2, 64};
constexpr FieldReader::IntegerRange kExperts = {1, 4096};
constexpr FieldReader::IntegerRange kContext = {1, int64_t{1} << 30};
constexpr int64_t kMaxExpertsInAllLayers = int64_t{1} << 17;

// The library default, used where a config leaves the field out.
constexpr int64_t kDefaultContext = 32768;
constexpr double kDefaultRopeTheta = 10000.0;
constexpr double kDefaultRotaryFactor = 0.25;
constexpr int64_t kDefaultFullAttentionInterval = 4;

// The row that config.json asks for: by class name, or by model_type where no class is named.
Result<const Architecture*> find_architecture(const Json& config, const std::string& subject) {
  FieldReader top(config, "", subject);
  RETURN_IF_ERROR(top.status());
  const std::string model_type = top.text("model_type", "");
  std::vector<std::string> classes;
  if (const Json* names = top.find("architectures")) {
    const bool is_list =
        names->is_array() && std::all_of(names->begin(), names->end(),
                                         [](const Json& name) { return name.is_string(); });
    if (!is_list) top.fail_field("architectures", "a list of class names");
    if (is_list) classes = names->get<std::vector<std::string>>();
  }
  RETURN_IF_ERROR(top.status());
  const bool knows_type = std::any_of(
      architectures().begin(), architectures().end(),
      [&](const Architecture& row) { return model_type.empty() || row.model_type == model_type; });
  for (const Architecture& row : architectures()) {
    if (!knows_type) break;
    const bool matches = classes.empty() ? row.model_type == model_type
                                         : std::find(classes.begin(), classes.end(),
                                                     row.class_name) != classes.end();
    if (matches) return &row;
  }
  const std::string found = classes.empty() || !knows_type
                                ? fmt::format("model_type \"{}\"", model_type)
                                : fmt::format("architecture {}", fmt::join(classes, ", "));
  return Error(ErrorCode::kUnsupportedArchitecture,
               fmt::format("{} is not supported; supported are {}", found, architecture_names()),
               subject);
}

void refuse(FieldReader& reader, std::string message) {
  reader.fail(ErrorCode::kUnsupported, std::move(message));
}

void read_attention(FieldReader& text, ModelConfig& config) {
  config.n_heads = text.integer("num_attention_heads", kHeads);
  config.n_kv_heads = text.integer("num_key_value_heads", kHeads, config.n_heads);
  config.head_dim = text.integer("head_dim", kHeadDim, config.hidden_size / config.n_heads);
  if (config.head_dim < 1) text.fail_field("head_dim", "an integer of at least 1");
  if (config.n_heads % config.n_kv_heads != 0) {
    text.fail(ErrorCode::kCorrupt,
              fmt::format("num_attention_heads is {} and num_key_value_heads {}; expected whole "
                          "groups of query heads per key/value head",
                          config.n_heads, config.n_kv_heads));
  }
  if (text.boolean("attention_bias", false)) {
    refuse(text, "attention_bias is true; attention projections with a bias are not supported");
  }
  if (!text.boolean("attn_output_gate", true)) {
    refuse(text, "attn_output_gate is false; attention without its output gate is not supported");
  }
}

// One rotary setting by the places in which configs of different ages keep it.
const Json* find_rope_field(FieldReader& text, const std::string& name) {
  for (const char* place : {"rope_parameters", "rope_scaling"}) {
    const Json* object = text.object(place);
    if (object == nullptr) continue;
    const auto found = object->find(name);
    if (found != object->end() && !found->is_null()) return &*found;
  }
  return text.find(name);
}

double rope_number(FieldReader& text, const std::string& name, FieldReader::NumberRange range,
                   double fallback) {
  const Json* value = find_rope_field(text, name);
  if (value == nullptr) return fallback;
  const double number = value->is_number() ? value->get<double>() : std::nan("");
  if (number >= range.least && number <= range.most) return number;
  text.fail(ErrorCode::kCorrupt,
            fmt::format("the rotary setting {} is {}; expected a number from "
                        "{} to {}",
                        name, dump_json_line(*value), range.least, range.most));
  return fallback;
}

void read_rope(FieldReader& text, ModelConfig& config) {
  for (const char* name : {"rope_type", "type"}) {
    const Json* type = find_rope_field(text, name);
    // "mrope" is the older spelling of default with sections, which text does not need.
    if (type != nullptr && *type != "default" && *type != "mrope") {
      refuse(text, fmt::format("the rotary embedding has the type {}; only \"default\" is "
                               "supported (no context extension)",
                               dump_json_line(*type)));
    }
  }
  config.rope_theta = rope_number(text, "rope_theta", {1.0, 1e15}, kDefaultRopeTheta);
  const double factor =
      rope_number(text, "partial_rotary_factor", {0.0, 1.0}, kDefaultRotaryFactor);
  config.rotary_dim = static_cast<int64_t>(static_cast<double>(config.head_dim) * factor);
  if (config.rotary_dim < 2 || config.rotary_dim % 2 != 0) {
    text.fail(ErrorCode::kCorrupt,
              fmt::format("head_dim {} with partial_rotary_factor {} gives {} rotary dimensions; "
                          "expected an even number of at least 2",
                          config.head_dim, factor, config.rotary_dim));
  }
}

void read_delta_net(FieldReader& text, ModelConfig& config) {
  config.linear_n_key_heads = text.integer("linear_num_key_heads", kHeads);
  config.linear_n_value_heads = text.integer("linear_num_value_heads", kHeads);
  config.linear_key_dim = text.integer("linear_key_head_dim", kHeadDim);
  config.linear_value_dim = text.integer("linear_value_head_dim", kHeadDim);
  config.conv_kernel = text.integer("linear_conv_kernel_dim", kKernel);
  const std::string order = text.text(kValueHeadOrderField, kGroupedOrder);
  if (order == kTiledOrder) {
    config.value_head_order = ValueHeadOrder::kTiled;
  } else if (order != kGroupedOrder) {
    refuse(text, fmt::format("{} is \"{}\"; supported are \"{}\" and \"{}\"", kValueHeadOrderField,
                             order, kGroupedOrder, kTiledOrder));
  }
  if (config.linear_n_value_heads % config.linear_n_key_heads != 0) {
    text.fail(
        ErrorCode::kCorrupt,
        fmt::format("linear_num_value_heads is {} and linear_num_key_heads {}; expected whole "
                    "groups of value heads per key head",
                    config.linear_n_value_heads, config.linear_n_key_heads));
  }
}

// layer_types wins over full_attention_interval where both are given.
void read_layer_kinds(FieldReader& text, ModelConfig& config) {
  const auto n_layers = static_cast<size_t>(config.n_layers);
  const Json* types = text.find("layer_types");
  if (types == nullptr) {
    const int64_t interval =
        text.integer("full_attention_interval", kLayers, kDefaultFullAttentionInterval);
    for (int64_t i = 1; i <= config.n_layers; ++i) {
      config.layer_kinds.push_back(i % interval == 0 ? LayerKind::kFullAttention
                                                     : LayerKind::kLinearAttention);
    }
    return;
  }
  if (!types->is_array() || types->size() != n_layers) {
    text.fail_field("layer_types", fmt::format("a list of {} layer types", n_layers));
    return;
  }
  for (const Json& type : *types) {
    if (type == "full_attention") {
      config.layer_kinds.push_back(LayerKind::kFullAttention);
    } else if (type == "linear_attention") {
      config.layer_kinds.push_back(LayerKind::kLinearAttention);
    } else {
      refuse(text, fmt::format("layer_types holds {}; supported are \"linear_attention\" and "
                               "\"full_attention\"",
                               dump_json_line(type)));
    }
  }
}

void read_feed_forward(FieldReader& text, bool is_mixture_of_experts, ModelConfig& config) {
  const std::string activation = text.text("hidden_act", "silu");
  if (activation != "silu" && activation != "swish") {
    refuse(text, fmt::format("hidden_act is \"{}\"; only \"silu\" is supported", activation));
  }
  // Not written by this family's own tools, but its relatives name another gate here.
  const std::string gate = text.text("output_gate_type", "swish");
  if (gate != "silu" && gate != "swish") {
    refuse(text, fmt::format("output_gate_type is \"{}\"; only \"swish\" is supported", gate));
  }
  if (!is_mixture_of_experts) {
    config.intermediate_size = text.integer("intermediate_size", kWidth);
    return;
  }
  config.n_experts = text.integer("num_experts", kExperts);
  config.n_experts_per_token = text.integer("num_experts_per_tok", {1, config.n_experts});
  config.expert_intermediate_size = text.integer("moe_intermediate_size", kWidth);
  config.shared_expert_intermediate_size = text.integer("shared_expert_intermediate_size", kWidth);
  if (config.n_experts * config.n_layers > kMaxExpertsInAllLayers) {
    text.fail(ErrorCode::kCorrupt,
              fmt::format("{} experts in each of {} layers are too many; expected at most {} "
                          "altogether",
                          config.n_experts, config.n_layers, kMaxExpertsInAllLayers));
  }
}

void read_text_model(FieldReader& text, bool is_mixture_of_experts, ModelConfig& config) {
  config.hidden_size = text.integer("hidden_size", kWidth);
  config.vocab_size = text.integer("vocab_size", kVocabulary);
  config.n_layers = text.integer("num_hidden_layers", kLayers);
  config.rms_norm_eps = static_cast<float>(text.number("rms_norm_eps", {1e-30, 1.0}, 1e-6));
  config.n_mtp_layers = text.integer("mtp_num_hidden_layers", {0, 1024}, 0);
  config.max_position_embeddings =
      text.integer("max_position_embeddings", kContext, kDefaultContext);
  read_attention(text, config);
  read_rope(text, config);
  read_delta_net(text, config);
  read_layer_kinds(text, config);
  read_feed_forward(text, is_mixture_of_experts, config);
}

}  // namespace

Result<ModelConfig> parse_model_config(const Json& json, const std::string& subject) {
  ASSIGN_OR_RETURN(const Architecture* architecture, find_architecture(json, subject));
  FieldReader top(json, "", subject);
  const Json* nested = top.object("text_config");
  RETURN_IF_ERROR(top.status());
  FieldReader text(nested == nullptr ? json : *nested, nested == nullptr ? "" : "text_config",
                   subject);

  ModelConfig config;
  config.architecture = architecture->class_name;
  config.model_type = top.text("model_type", architecture->model_type);
  config.has_vision = top.object("vision_config") != nullptr;
  read_text_model(text, architecture->is_mixture_of_experts, config);
  config.tie_word_embeddings =
      top.boolean("tie_word_embeddings", false) || text.boolean("tie_word_embeddings", false);
  for (FieldReader* level : {&text, &top}) {
    for (const int32_t id : level->token_ids("eos_token_id")) {
      auto& ids = config.eos_token_ids;
      if (std::find(ids.begin(), ids.end(), id) == ids.end()) ids.push_back(id);
    }
  }
  RETURN_IF_ERROR(top.status());
  RETURN_IF_ERROR(text.status());
  if (text.find("max_position_embeddings") == nullptr) {
    log(LogLevel::kWarning, "model", "{}: max_position_embeddings is missing; assuming {}", subject,
        kDefaultContext);
  }
  return config;
}

}  // namespace nibble
