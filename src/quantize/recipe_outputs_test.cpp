// What every bundled recipe writes in every dialect: it opens, holds what the recipe says, runs,
// and is described as the tools that serving engines were built for describe theirs.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "backend/cpu_backend.h"
#include "checkpoint/tensor_file.h"
#include "model/model.h"
#include "numbers/nvfp4.h"
#include "quantize/checkpoint_fixture.h"
#include "quantize/verify.h"

namespace nibble {
namespace {

using test::nano_job;
using test::quantized;

QuantizeJob small_job(const std::string& destination, const std::string& recipe,
                      const std::string& dialect) {
  QuantizeJob job = nano_job(destination);
  job.recipe = recipe;
  job.dialect = dialect;
  job.calibration.n_samples = 1;
  job.calibration.n_tokens = 32;
  job.calibration.cpu_implementation = test::forced_cpu_implementation;
  return job;
}

// Storage and presence of an activation scale: "nvfp4", "fp8 static", "plain".
std::string stored_text(const Checkpoint& checkpoint, const TensorInfo& tensor) {
  if (tensor.storage == Storage::kPlain) return "plain";
  if (tensor.storage == Storage::kNvfp4) {
    return checkpoint.nvfp4(tensor).input_scale ? "nvfp4 static" : "nvfp4";
  }
  const auto matrix = std::get<Fp8MatrixView>(checkpoint.matrix(tensor));
  return matrix.input_scale ? "fp8 static" : "fp8";
}

// Logits after three tokens.
std::vector<float> logits_of(const std::string& folder) {
  auto checkpoint = Checkpoint::open(folder);
  auto backend = make_cpu_backend({2, test::forced_cpu_implementation});
  EXPECT_TRUE(checkpoint.has_value() && backend.has_value());
  auto model = load_model(*checkpoint, **backend);
  EXPECT_TRUE(model.has_value()) << model.error().to_string();
  if (!model) return {};
  auto state = (*model)->new_state(3);
  const std::vector<int32_t> tokens = {5, 77, 300};
  const Segment segment[] = {{state->get(), 0, 3}};
  const std::vector<int32_t> rows = {2};
  std::vector<float> logits(static_cast<size_t>((*model)->config().vocab_size));
  EXPECT_TRUE((*model)->forward({tokens, segment, rows}, logits).has_value());
  return logits;
}

void expect_verified(const std::string& folder) {
  const auto report = verify_checkpoint(folder, test::nano(), 2);
  ASSERT_TRUE(report.has_value()) << report.error().to_string();
  for (const VerifyProblem& problem : report->problems) {
    ADD_FAILURE() << problem.code << " " << problem.subject << ": " << problem.message;
  }
}

double distance(const std::vector<float>& a, const std::vector<float>& b) {
  double difference = 0.0;
  double square = 0.0;
  for (size_t i = 0; i < a.size(); ++i) {
    difference += std::pow(static_cast<double>(a[i]) - static_cast<double>(b[i]), 2);
    square += std::pow(static_cast<double>(a[i]), 2);
  }
  return std::sqrt(difference / square);
}

using Expected = std::map<std::string, std::string>;  // by the end of a module's name

struct Output {
  const char* recipe;
  Expected stored;
  std::vector<const char*> dialects;
};

constexpr const char* kCompressedTensors = "compressed-tensors";
constexpr const char* kModelOpt = "modelopt";

class RecipeOutputs : public testing::TestWithParam<Output> {};

TEST_P(RecipeOutputs, HoldWhatTheRecipeSays) {
  static const std::vector<float> original = logits_of(test::nano());
  for (const char* dialect : GetParam().dialects) {
    const test::TemporaryFolder folder;
    const std::string out = folder.path("out");
    quantized(small_job(out, GetParam().recipe, dialect));
    const auto opened = Checkpoint::open(out);
    ASSERT_TRUE(opened.has_value()) << opened.error().to_string();
    EXPECT_EQ((*opened)->dialect(), dialect);
    for (const TensorInfo& tensor : (*opened)->tensors()) {
      const bool in_body = tensor.name.starts_with("layers.") || tensor.name.starts_with("lm_head");
      std::string module = tensor.name.substr(0, tensor.name.rfind(".weight"));
      module = module.substr(module.find_last_of('.') + 1);
      const auto expected = GetParam().stored.find(module);
      const bool is_named = in_body && expected != GetParam().stored.end();
      EXPECT_EQ(stored_text(**opened, tensor), is_named ? expected->second : "plain")
          << dialect << " " << tensor.name;
    }
    expect_verified(out);
    EXPECT_LT(distance(original, logits_of(out)), 0.25) << dialect;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Bundled, RecipeOutputs,
    testing::Values(Output{"all",
                           {{"q_proj", "nvfp4"},
                            {"k_proj", "nvfp4"},
                            {"v_proj", "nvfp4"},
                            {"o_proj", "nvfp4"},
                            {"in_proj_qkv", "nvfp4"},
                            {"in_proj_z", "nvfp4"},
                            {"in_proj_a", "nvfp4"},
                            {"in_proj_b", "nvfp4"},
                            {"out_proj", "nvfp4"},
                            {"gate_proj", "nvfp4"},
                            {"up_proj", "nvfp4"},
                            {"down_proj", "nvfp4"}},
                           {kCompressedTensors}},
                    Output{"mlp",
                           {{"gate_proj", "nvfp4"}, {"up_proj", "nvfp4"}, {"down_proj", "nvfp4"}},
                           {kModelOpt}},
                    Output{"portable",
                           {{"gate_proj", "nvfp4 static"},
                            {"up_proj", "nvfp4 static"},
                            {"down_proj", "nvfp4 static"}},
                           {kCompressedTensors, kModelOpt}},
                    Output{"spark",
                           {{"q_proj", "nvfp4"},
                            {"k_proj", "nvfp4"},
                            {"v_proj", "nvfp4"},
                            {"o_proj", "nvfp4"},
                            {"gate_proj", "nvfp4"},
                            {"up_proj", "nvfp4"},
                            {"down_proj", "nvfp4"}},
                           {kModelOpt}},
                    Output{"nvidia",
                           {{"q_proj", "fp8 static"},
                            {"k_proj", "fp8 static"},
                            {"v_proj", "fp8 static"},
                            {"o_proj", "fp8 static"},
                            {"in_proj_qkv", "fp8 static"},
                            {"in_proj_z", "fp8 static"},
                            {"out_proj", "fp8 static"},
                            {"gate_proj", "nvfp4"},
                            {"up_proj", "nvfp4"},
                            {"down_proj", "nvfp4"},
                            {"lm_head", "nvfp4"}},
                           {kCompressedTensors, kModelOpt}}),
    [](const auto& test) { return std::string(test.param.recipe); });

// The scales that a matrix and its activations have.
std::pair<float, float> scales_of(const Checkpoint& checkpoint, const std::string& name) {
  const MatrixSource source = checkpoint.matrix(*checkpoint.find(name));
  if (const auto* fp8 = std::get_if<Fp8MatrixView>(&source)) {
    return {fp8->scales[0], fp8->input_scale.value_or(0.0f)};
  }
  const auto& matrix = std::get<QuantizedMatrixView>(source);
  return {matrix.tensor_scale, matrix.input_scale.value_or(0.0f)};
}

TEST(RecipeOutput, FusedMatricesShareScalesAndThreadsChangeNothing) {
  const test::TemporaryFolder folder;
  QuantizeJob job = small_job(folder.path("one"), "nvidia", "modelopt");
  job.kv_cache = "fp8";
  job.n_threads = 1;
  quantized(job);
  job.destination = folder.path("three");
  job.n_threads = 3;
  quantized(job);
  EXPECT_TRUE(*read_file(folder.path("one/model.safetensors")) ==
              *read_file(folder.path("three/model.safetensors")));
  const auto opened = Checkpoint::open(folder.path("one"));
  ASSERT_TRUE(opened.has_value());
  const auto q = scales_of(**opened, "layers.3.self_attn.q_proj.weight");
  EXPECT_EQ(q, scales_of(**opened, "layers.3.self_attn.k_proj.weight"));
  EXPECT_EQ(q, scales_of(**opened, "layers.3.self_attn.v_proj.weight"));
  EXPECT_EQ(scales_of(**opened, "layers.0.linear_attn.in_proj_qkv.weight"),
            scales_of(**opened, "layers.0.linear_attn.in_proj_z.weight"));
  EXPECT_NE(q, scales_of(**opened, "layers.7.self_attn.q_proj.weight"));
  for (const TensorInfo& tensor : (*opened)->tensors()) {
    if (tensor.storage == Storage::kPlain) continue;
    const auto [weight, input] = scales_of(**opened, tensor.name);
    EXPECT_TRUE(std::isnormal(weight) && weight > 0.0f) << tensor.name;
    EXPECT_TRUE(std::isfinite(input) && input >= 0.0f) << tensor.name;
  }
}

TEST(RecipeOutput, InputScalesAreTheirOwnReciprocalsReciprocal) {
  const test::TemporaryFolder folder;
  quantized(small_job(folder.path("ct"), "portable", "compressed-tensors"));
  quantized(small_job(folder.path("mo"), "portable", "modelopt"));
  const auto ct = Checkpoint::open(folder.path("ct"));
  const auto mo = Checkpoint::open(folder.path("mo"));
  ASSERT_TRUE(ct.has_value() && mo.has_value());
  size_t n = 0;
  for (const TensorInfo& tensor : (*ct)->tensors()) {
    if (tensor.storage != Storage::kNvfp4) continue;
    const auto scale = (*ct)->nvfp4(tensor).input_scale;
    ASSERT_TRUE(scale.has_value());
    EXPECT_EQ(canonical_tensor_scale(*scale), *scale);
    EXPECT_EQ(scale, (*mo)->nvfp4(*(*mo)->find(tensor.name)).input_scale) << tensor.name;
    ++n;
  }
  EXPECT_EQ(n, 24u);
}

TEST(RecipeOutput, CacheScalesStandWhereEachDialectLooks) {
  for (const std::string dialect : {"compressed-tensors", "modelopt"}) {
    const test::TemporaryFolder folder;
    QuantizeJob job = small_job(folder.path("out"), "mlp", dialect);
    job.kv_cache = "fp8";
    quantized(job);
    const bool is_modelopt = dialect == "modelopt";
    const std::string attention = "model.language_model.layers.3.self_attn.";
    const auto file = TensorFile::open(folder.path("out/model.safetensors"));
    ASSERT_TRUE(file.has_value());
    for (const char* name : {"k", "v"}) {
      const std::string place = is_modelopt
                                    ? fmt::format("{}{}_proj.{}_scale", attention, name, name)
                                    : fmt::format("{}{}_scale", attention, name);
      const auto scale = file->find(place);
      ASSERT_TRUE(scale.has_value()) << place;
      EXPECT_EQ(scale->dtype, DType::kF32);
      EXPECT_EQ(scale->shape, is_modelopt ? Shape{} : Shape{1});
      float value = 0.0f;
      ASSERT_TRUE(to_f32(*scale, {&value, 1}).has_value());
      EXPECT_GT(value, 1e-4f) << place;
      EXPECT_LT(value, 1.0f) << place;
    }
    const Json config = read_json_file(folder.path("out/config.json")).value();
    EXPECT_EQ(config["quantization_config"]["kv_cache_scheme"]["num_bits"], 8);
    expect_verified(folder.path("out"));
    EXPECT_EQ(logits_of(folder.path("out")).size(), 8192u);
    job.source = folder.path("out");
    EXPECT_FALSE(make_plan(job).has_value());
  }
}

TEST(RecipeOutput, DescribesMixedGroupsByPatterns) {
  const test::TemporaryFolder folder;
  QuantizeJob job = small_job(folder.path("out"), "nvidia", "compressed-tensors");
  quantized(job);
  const Json config = read_json_file(folder.path("out/config.json")).value();
  const Json& section = config["quantization_config"];
  EXPECT_EQ(section["format"], "mixed-precision");
  std::map<std::string, Json> targets;
  for (const auto& [name, group] : section["config_groups"].items()) {
    targets[group["format"].get<std::string>()] = group["targets"];
  }
  EXPECT_EQ(targets["nvfp4-pack-quantized"],
            Json::parse(R"(["re:.*mlp\\.(down_proj|gate_proj|up_proj|gate_up_proj)$",
                            "re:.*lm_head"])"));
  EXPECT_EQ(targets["float-quantized"],
            Json::parse(R"(["re:.*linear_attn\\.(in_proj_qkv|in_proj_z|out_proj|in_proj_qkvz)$",
                            "re:.*self_attn\\.(k_proj|o_proj|q_proj|v_proj|qkv_proj)$"])"));
}

// A description without the fields that only newer readers know.
Json without_new_fields(Json json) {
  for (auto& [name, group] : json["config_groups"].items()) {
    for (const char* part : {"weights", "input_activations"}) {
      if (!group.contains(part) || !group[part].is_object()) continue;
      group[part].erase("scale_dtype");
      group[part].erase("zp_dtype");
    }
  }
  if (json.contains("kv_cache_scheme") && json["kv_cache_scheme"].is_object()) {
    json["kv_cache_scheme"].erase("scale_dtype");
    json["kv_cache_scheme"].erase("zp_dtype");
  }
  return json;
}

SortedJson sorted(const Json& json) { return SortedJson::parse(json.dump()); }

TEST(RecipeOutput, ModelOptMixedIsDescribedAsModelOptDoes) {
  const std::string golden = test::golden_path("exports/modelopt-mixed-fp8kv-cut");
  REQUIRE_GOLDEN(golden);
  const test::TemporaryFolder folder;
  QuantizeJob job = small_job(folder.path("out"), "nvidia", "modelopt");
  job.kv_cache = "fp8";
  quantized(job);
  Json ours = read_json_file(folder.path("out/config.json")).value()["quantization_config"];
  Json theirs = read_json_file(golden + "/config.json").value()["quantization_config"];
  // Theirs has the first four layers only.
  for (const auto& [module, layer] : theirs["quantized_layers"].items()) {
    EXPECT_EQ(sorted(ours["quantized_layers"][module]), sorted(layer)) << module;
  }
  std::set<std::string> kinds_of_theirs;
  std::set<std::string> kinds_of_ours;
  for (Json* side : {&ours, &theirs}) {
    for (auto& [name, group] : (*side)["config_groups"].items()) {
      EXPECT_TRUE(std::is_sorted(group["targets"].begin(), group["targets"].end()));
      group.erase("targets");
      (side == &ours ? kinds_of_ours : kinds_of_theirs).insert(sorted(group).dump());
    }
    side->erase("config_groups");
    side->erase("quantized_layers");
  }
  EXPECT_EQ(kinds_of_ours, kinds_of_theirs);
  EXPECT_EQ(sorted(ours), sorted(theirs));
  Json our_file = read_json_file(folder.path("out/hf_quant_config.json")).value();
  Json their_file = read_json_file(golden + "/hf_quant_config.json").value();
  for (Json* file : {&our_file, &their_file}) (*file)["quantization"].erase("quantized_layers");
  EXPECT_EQ(sorted(our_file), sorted(their_file));
}

TEST(RecipeOutput, CompressedTensorsIsDescribedAsLlmCompressorDoes) {
  const std::string golden = test::golden_path("exports/llmcompressor-nvfp4-mlp-fp8kv-cut");
  REQUIRE_GOLDEN(golden);
  const test::TemporaryFolder folder;
  QuantizeJob job = small_job(folder.path("out"), "portable", "compressed-tensors");
  job.kv_cache = "fp8";
  quantized(job);
  Json ours = read_json_file(folder.path("out/config.json")).value()["quantization_config"];
  Json theirs =
      without_new_fields(read_json_file(golden + "/config.json").value()["quantization_config"]);
  for (Json* side : {&ours, &theirs}) {
    side->erase("ignore");  // ours are patterns
    side->erase("version");
  }
  EXPECT_EQ(sorted(ours), sorted(theirs));
}

TEST(RecipeOutput, InputScalesAreOfTheSizeThatModelOptFinds) {
  const std::string golden = test::golden_path("exports/modelopt-nvfp4");
  REQUIRE_GOLDEN(golden);
  const test::TemporaryFolder folder;
  const std::string recipe = folder.path("w4a4.json");
  ASSERT_TRUE(write_file_atomically(recipe, R"({"rules": [{"roles": ["attention input",
      "attention output", "delta input", "delta output", "mlp input", "mlp output"],
      "target": "nvfp4-w4a4"}]})")
                  .has_value());
  QuantizeJob job = small_job(folder.path("out"), recipe, "modelopt");
  job.calibration.n_samples = 2;
  job.calibration.n_tokens = 128;
  quantized(job);
  const auto ours = Checkpoint::open(folder.path("out"));
  const auto theirs = TensorFile::open(golden + "/model.safetensors");
  ASSERT_TRUE(ours.has_value() && theirs.has_value());
  size_t n = 0;
  for (const TensorInfo& tensor : (*ours)->tensors()) {
    if (tensor.storage != Storage::kNvfp4) continue;
    const std::string module = tensor.stored_name.substr(0, tensor.stored_name.size() - 7);
    const auto scale = theirs->find(module + ".input_scale");
    ASSERT_TRUE(scale.has_value()) << module;
    float value = 0.0f;
    ASSERT_TRUE(to_f32(*scale, {&value, 1}).has_value());
    const float ratio = *(*ours)->nvfp4(tensor).input_scale / value;
    EXPECT_GT(ratio, 0.25f) << module;
    EXPECT_LT(ratio, 4.0f) << module;
    ++n;
  }
  EXPECT_EQ(n, 50u);
}

}  // namespace
}  // namespace nibble
