// Reading config.json: the bundled one, the shapes it takes in the wild, and what is refused.
#include "model/config.h"

#include <gtest/gtest.h>

#include <functional>
#include <vector>

#include "tests/test_data.h"

namespace nibble {
namespace {

Json nano_config() { return read_json_file(test::source_path("models/nano/config.json")).value(); }

// The text part alone, as text-only checkpoints have it.
Json flat_config() {
  Json flat = nano_config()["text_config"];
  flat["architectures"] = {"Qwen3_5ForCausalLM"};
  flat["model_type"] = "qwen3_5_text";
  return flat;
}

Json moe_config() {
  Json config = flat_config();
  config["architectures"] = {"Qwen3_5MoeForCausalLM"};
  config["model_type"] = "qwen3_5_moe_text";
  config.erase("intermediate_size");
  config["num_experts"] = 8;
  config["num_experts_per_tok"] = 2;
  config["moe_intermediate_size"] = 32;
  config["shared_expert_intermediate_size"] = 48;
  return config;
}

ModelConfig parse(const Json& json) {
  auto config = parse_model_config(json, "config.json");
  EXPECT_TRUE(config.has_value()) << config.error().message;
  return config ? *config : ModelConfig();
}

Error parse_error(const Json& json) {
  const auto config = parse_model_config(json, "config.json");
  EXPECT_FALSE(config.has_value()) << dump_json_line(json);
  return config ? Error(ErrorCode::kCancelled, "no error") : config.error();
}

TEST(Config, ReadsTheBundledModel) {
  const ModelConfig config = parse(nano_config());
  EXPECT_EQ(config.architecture, "Qwen3_5ForConditionalGeneration");
  EXPECT_EQ(config.model_type, "qwen3_5");
  EXPECT_EQ(config.hidden_size, 256);
  EXPECT_EQ(config.intermediate_size, 768);
  EXPECT_EQ(config.vocab_size, 8192);
  EXPECT_EQ(config.n_layers, 8);
  EXPECT_EQ(config.layer_kinds[3], LayerKind::kFullAttention);
  EXPECT_EQ(config.layer_kinds[4], LayerKind::kLinearAttention);
  EXPECT_EQ(config.n_heads, 2);
  EXPECT_EQ(config.n_kv_heads, 1);
  EXPECT_EQ(config.head_dim, 256);
  EXPECT_EQ(config.rotary_dim, 64);
  EXPECT_EQ(config.rope_theta, 1e7);
  EXPECT_EQ(config.linear_n_key_heads, 2);
  EXPECT_EQ(config.linear_n_value_heads, 4);
  EXPECT_EQ(config.conv_channels(), 1024);
  EXPECT_EQ(config.conv_kernel, 4);
  EXPECT_EQ(config.max_position_embeddings, 32768);
  EXPECT_EQ(config.n_mtp_layers, 1);
  EXPECT_TRUE(config.has_vision);
  EXPECT_FALSE(config.tie_word_embeddings);
  EXPECT_EQ(config.n_experts, 0);
  EXPECT_EQ(config.eos_token_ids, std::vector<int32_t>{8000});
}

TEST(Config, ReadsFlatConfigs) {
  const ModelConfig config = parse(flat_config());
  EXPECT_EQ(config.architecture, "Qwen3_5ForCausalLM");
  EXPECT_EQ(config.hidden_size, 256);
  EXPECT_FALSE(config.has_vision);
  Json other_type = flat_config();
  other_type["model_type"] = "qwen3_5";
  EXPECT_EQ(parse(other_type).n_layers, 8);
}

TEST(Config, FindsTheArchitectureByModelTypeWhereNoClassIsNamed) {
  for (Json config : {nano_config(), flat_config(), moe_config()}) {
    const std::string expected = config["architectures"][0];
    config.erase("architectures");
    EXPECT_EQ(parse(config).architecture, expected);
    config["architectures"] = Json::array();
    EXPECT_EQ(parse(config).architecture, expected);
  }
}

TEST(Config, DerivesLayerKindsFromTheInterval) {
  Json config = flat_config();
  config.erase("layer_types");
  config["full_attention_interval"] = 3;
  const auto kinds = parse(config).layer_kinds;
  for (size_t i = 0; i < kinds.size(); ++i) {
    EXPECT_EQ(kinds[i] == LayerKind::kFullAttention, i % 3 == 2) << i;
  }
  config.erase("full_attention_interval");
  EXPECT_EQ(parse(config).layer_kinds[3], LayerKind::kFullAttention);
  config["full_attention_interval"] = 100;
  EXPECT_EQ(parse(config).layer_kinds[3], LayerKind::kLinearAttention);
}

TEST(Config, LayerTypesWinOverTheInterval) {
  Json config = flat_config();
  config["full_attention_interval"] = 1;
  EXPECT_EQ(parse(config).layer_kinds[0], LayerKind::kLinearAttention);
}

TEST(Config, FindsRotarySettingsWhereverTheyAre) {
  Json config = flat_config();
  config.erase("rope_parameters");
  EXPECT_EQ(parse(config).rope_theta, 10000.0);
  EXPECT_EQ(parse(config).rotary_dim, 64);
  config["rope_theta"] = 500000;
  config["partial_rotary_factor"] = 0.5;
  config["rope_scaling"] = nullptr;
  EXPECT_EQ(parse(config).rope_theta, 500000.0);
  EXPECT_EQ(parse(config).rotary_dim, 128);
  config["rope_scaling"] = {{"type", "mrope"}, {"rope_theta", 70000.0}};
  EXPECT_EQ(parse(config).rope_theta, 70000.0);
}

TEST(Config, ReadsTheOrderOfValueHeads) {
  Json config = flat_config();
  EXPECT_EQ(parse(config).value_head_order, ValueHeadOrder::kGrouped);
  config["linear_value_head_order"] = "tiled";
  EXPECT_EQ(parse(config).value_head_order, ValueHeadOrder::kTiled);
  config["linear_value_head_order"] = "woven";
  EXPECT_EQ(parse_model_config(config, "config.json").error().code, ErrorCode::kUnsupported);
}

TEST(Config, ReadsTyingAtBothLevels) {
  Json config = nano_config();
  config["tie_word_embeddings"] = true;
  EXPECT_TRUE(parse(config).tie_word_embeddings);
  config["tie_word_embeddings"] = false;
  config["text_config"]["tie_word_embeddings"] = true;
  EXPECT_TRUE(parse(config).tie_word_embeddings);
  config.erase("tie_word_embeddings");
  config["text_config"].erase("tie_word_embeddings");
  EXPECT_FALSE(parse(config).tie_word_embeddings);
}

TEST(Config, UnitesEndTokens) {
  Json config = nano_config();
  config["eos_token_id"] = {8002, 8000, 5};
  EXPECT_EQ(parse(config).eos_token_ids, (std::vector<int32_t>{8000, 8002, 5}));
  config["text_config"]["eos_token_id"] = nullptr;
  EXPECT_EQ(parse(config).eos_token_ids, (std::vector<int32_t>{8002, 8000, 5}));
}

TEST(Config, ReadsMixtureOfExperts) {
  const ModelConfig config = parse(moe_config());
  EXPECT_EQ(config.n_experts, 8);
  EXPECT_EQ(config.n_experts_per_token, 2);
  EXPECT_EQ(config.expert_intermediate_size, 32);
  EXPECT_EQ(config.shared_expert_intermediate_size, 48);
}

TEST(Config, NamesTheSupportedArchitectures) {
  std::vector<Json> others(4, nano_config());
  others[0]["architectures"] = {"LlamaForCausalLM"};
  others[1].erase("architectures");
  others[1]["model_type"] = "llama";
  others[2]["model_type"] = "llama";
  others[3].erase("architectures");
  others[3].erase("model_type");
  others.push_back(Json::object());
  for (const Json& other : others) {
    const Error error = parse_error(other);
    EXPECT_EQ(error.code, ErrorCode::kUnsupportedArchitecture);
    EXPECT_NE(error.message.find("Qwen3_5ForConditionalGeneration"), std::string::npos);
  }
}

// A field of the text config set to a value, and what the message must quote.
struct BadField {
  const char* field;
  const char* value;
  ErrorCode code = ErrorCode::kCorrupt;
};

TEST(Config, RefusesImpossibleFields) {
  const BadField cases[] = {
      {"num_hidden_layers", "-1"},
      {"num_hidden_layers", "1000000000"},
      {"num_hidden_layers", "0"},
      {"num_hidden_layers", "\"8\""},
      {"num_hidden_layers", "8.5"},
      {"num_hidden_layers", "18446744073709551615"},
      {"num_hidden_layers", "null"},
      {"num_hidden_layers", "7"},  // layer_types has 8
      {"hidden_size", "0"},
      {"hidden_size", "-256"},
      {"hidden_size", "[256]"},
      {"hidden_size", "9223372036854775807"},
      {"intermediate_size", "0"},
      {"vocab_size", "1e9"},
      {"vocab_size", "true"},
      {"head_dim", "0"},
      {"head_dim", "3"},  // no rotary dimension left
      {"num_attention_heads", "0"},
      {"num_attention_heads", "3000000"},
      {"num_key_value_heads", "3"},
      {"linear_num_key_heads", "3"},
      {"linear_num_key_heads", "null"},
      {"linear_num_value_heads", "0"},
      {"linear_conv_kernel_dim", "1"},
      {"linear_conv_kernel_dim", "-4"},
      {"rms_norm_eps", "0"},
      {"rms_norm_eps", "\"1e-6\""},
      {"rms_norm_eps", "-1e-6"},
      {"max_position_embeddings", "0"},
      {"layer_types", "\"full_attention\""},
      {"layer_types", "[]"},
      {"rope_parameters", "5"},
      {"rope_parameters", "{\"rope_theta\": 0}"},
      {"rope_parameters", "{\"rope_theta\": \"big\"}"},
      {"rope_parameters", "{\"partial_rotary_factor\": 2}"},
      {"rope_parameters", "{\"partial_rotary_factor\": 0.001}"},
      {"eos_token_id", "-3"},
      {"eos_token_id", "[1, \"2\"]"},
      {"eos_token_id", "99999999999"},
      {"tie_word_embeddings", "1"},
      {"mtp_num_hidden_layers", "-1"},
      {"attention_bias", "true", ErrorCode::kUnsupported},
      {"attention_bias", "\"no\""},
      {"attn_output_gate", "false", ErrorCode::kUnsupported},
      {"hidden_act", "\"gelu\"", ErrorCode::kUnsupported},
      {"hidden_act", "7"},
      {"output_gate_type", "\"sigmoid\"", ErrorCode::kUnsupported},
      {"rope_parameters", "{\"rope_type\": \"yarn\"}", ErrorCode::kUnsupported},
      {"rope_scaling", "{\"type\": \"linear\"}", ErrorCode::kUnsupported},
  };
  for (const BadField& bad : cases) {
    SCOPED_TRACE(std::string(bad.field) + " = " + bad.value);
    Json config = flat_config();
    config[bad.field] = parse_json(bad.value, "value").value();
    const Error error = parse_error(config);
    EXPECT_EQ(error.code, bad.code) << error.message;
    EXPECT_EQ(error.subject, "config.json");
  }
}

TEST(Config, RefusesDocumentsOfAnotherShape) {
  for (const char* text :
       {"[]", "5", "null", "\"qwen3_5\"", R"({"model_type": 5})",
        R"({"architectures": "Qwen3_5ForCausalLM"})", R"({"architectures": [3]})",
        R"({"model_type": "qwen3_5", "text_config": []})",
        R"({"model_type": "qwen3_5", "text_config": {}})"}) {
    SCOPED_TRACE(text);
    EXPECT_EQ(parse_error(parse_json(text, "text").value()).code, ErrorCode::kCorrupt);
  }
}

TEST(Config, RefusesAbsurdNumbersOfExperts) {
  for (const auto& [field, value] :
       {std::pair{"num_experts", int64_t{0}}, std::pair{"num_experts", int64_t{1} << 40},
        std::pair{"num_experts_per_tok", int64_t{9}},
        std::pair{"moe_intermediate_size", int64_t{-1}}}) {
    Json config = moe_config();
    config[field] = value;
    EXPECT_EQ(parse_error(config).code, ErrorCode::kCorrupt) << field;
  }
}

}  // namespace
}  // namespace nibble
