// Opening real checkpoints: the bundled model and other tools' exports.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "checkpoint/checkpoint.h"
#include "checkpoint/tensor_file.h"
#include "core/file.h"
#include "tests/test_data.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

// A view of an export's folder without the reference values that lie beside its weights.
void link_without_golden(const std::string& from, const std::string& to) {
  for (const auto& file : fs::directory_iterator(from)) {
    const std::string name = file.path().filename().string();
    if (name != "golden.safetensors") fs::create_symlink(file.path(), fs::path(to) / name);
  }
}

TEST(OpenCheckpoint, ReadsTheBundledModel) {
  const auto opened = Checkpoint::open(test::source_path("models/nano"));
  ASSERT_TRUE(opened) << opened.error().to_string();
  const Checkpoint& nano = **opened;
  EXPECT_EQ(nano.dialect(), "hf");
  EXPECT_EQ(nano.config().at("model_type"), "qwen3_5");
  const TensorInfo* gate = nano.find("layers.0.mlp.gate_proj.weight");
  ASSERT_NE(gate, nullptr);
  EXPECT_EQ(gate->stored_name, "model.language_model.layers.0.mlp.gate_proj.weight");
  EXPECT_EQ(gate->shard, "model-00001-of-00002.safetensors");
  EXPECT_EQ(gate->shape, (Shape{768, 256}));
  EXPECT_EQ(gate->dtype, DType::kBF16);
  EXPECT_NE(nano.find("lm_head.weight"), nullptr);
  EXPECT_NE(nano.find("mtp.fc.weight"), nullptr);
  EXPECT_NE(nano.find("visual.patch_embed.proj.weight"), nullptr);
  EXPECT_EQ(nano.find("model.language_model.norm.weight"), nullptr);
  uint64_t total = 0;
  for (const TensorInfo& tensor : nano.tensors()) total += tensor.n_bytes;
  EXPECT_EQ(total, 29398288u);
  std::vector<float> row(256);
  ASSERT_TRUE(nano.read_rows_f32(*gate, 767, 1, row));
  EXPECT_FALSE(nano.read_rows_f32(*gate, 767, 2, row));
  EXPECT_TRUE(nano.intact());
}

// Compares every `dequantized.<module>` of a file with what the folder's matrices decode to.
void expect_decodes_to(const std::string& folder, const std::string& expected_path) {
  const auto opened = Checkpoint::open(folder);
  ASSERT_TRUE(opened) << opened.error().to_string();
  EXPECT_TRUE(check_scales(**opened));
  const auto golden = TensorFile::open(expected_path);
  ASSERT_TRUE(golden) << golden.error().to_string();
  size_t n_compared = 0;
  for (const std::string& name : golden->names()) {
    constexpr std::string_view kPrefix = "dequantized.model.language_model.";
    if (!name.starts_with(kPrefix)) continue;
    const TensorInfo* tensor = (*opened)->find(name.substr(kPrefix.size()) + ".weight");
    ASSERT_NE(tensor, nullptr) << name;
    EXPECT_NE(tensor->storage, Storage::kPlain);
    const TensorView reference = *golden->find(name);
    ASSERT_EQ(tensor->shape, reference.shape);
    std::vector<float> expected(*n_elements(reference.shape));
    std::vector<float> actual(expected.size());
    ASSERT_TRUE(to_f32(reference, expected));
    ASSERT_TRUE((*opened)->read_rows_f32(*tensor, 0, tensor->shape[0], actual));
    for (size_t i = 0; i < expected.size(); ++i) {
      // Tools divide or multiply by the second-level scale: two roundings apart at most.
      ASSERT_NEAR(actual[i], expected[i], std::abs(expected[i]) * 0x1p-22f) << name << " " << i;
    }
    ++n_compared;
  }
  EXPECT_GE(n_compared, 1u);
}

std::string fixture(const std::string& name) {
  return test::source_path("tests/dialect_fixtures/" + name);
}

class GoldenExport : public testing::TestWithParam<const char*> {};

TEST_P(GoldenExport, DecodesToTheToolsOwnValues) {
  const std::string folder = test::golden_path(std::string("exports/") + GetParam());
  REQUIRE_GOLDEN(folder);
  const test::TemporaryFolder temporary;
  link_without_golden(folder, temporary.path());
  expect_decodes_to(temporary.path(), folder + "/golden.safetensors");
}

INSTANTIATE_TEST_SUITE_P(Tools, GoldenExport,
                         testing::Values("llmcompressor-nvfp4", "llmcompressor-nvfp4a16-cut",
                                         "llmcompressor-nvfp4-mlp-fp8kv-cut",
                                         "llmcompressor-fp8-dynamic-cut", "modelopt-nvfp4",
                                         "modelopt-mixed-fp8kv-cut", "autoround-nvfp4-cut"));

struct Fixture {
  const char* folder;
  const char* dialect;
  Storage mlp;
  Storage attention;
  bool has_input_scales;  // of the attention where it is quantized, otherwise of the MLP
};
bool has_input_scale(const MatrixSource& source) {
  if (const auto* fp8 = std::get_if<Fp8MatrixView>(&source)) return fp8->input_scale.has_value();
  return std::get<QuantizedMatrixView>(source).input_scale.has_value();
}

class FixtureExport : public testing::TestWithParam<Fixture> {};

TEST_P(FixtureExport, DecodesToTheToolsOwnValues) {
  const std::string folder = fixture(GetParam().folder);
  expect_decodes_to(folder, folder + ".expected.safetensors");
  const auto opened = Checkpoint::open(folder);
  ASSERT_TRUE(opened);
  EXPECT_EQ((*opened)->dialect(), GetParam().dialect);
  const TensorInfo* down = (*opened)->find("layers.0.mlp.down_proj.weight");
  ASSERT_NE(down, nullptr);
  EXPECT_EQ(down->storage, GetParam().mlp);
  const TensorInfo* key = (*opened)->find("layers.3.self_attn.k_proj.weight");
  ASSERT_NE(key, nullptr);
  EXPECT_EQ(key->storage, GetParam().attention);
  const TensorInfo& scaled = key->storage == Storage::kPlain ? *down : *key;
  EXPECT_EQ(has_input_scale((*opened)->matrix(scaled)), GetParam().has_input_scales);
  EXPECT_NE((*opened)->find("visual.blocks.0.attn.qkv.weight"), nullptr);
}

INSTANTIATE_TEST_SUITE_P(
    Tools, FixtureExport,
    testing::Values(
        Fixture{"llmcompressor-w4a4", "compressed-tensors", Storage::kNvfp4, Storage::kNvfp4, true},
        Fixture{"llmcompressor-w4a16", "compressed-tensors", Storage::kNvfp4, Storage::kNvfp4,
                false},
        Fixture{"llmcompressor-mlp-fp8kv", "compressed-tensors", Storage::kNvfp4, Storage::kPlain,
                true},
        Fixture{"llmcompressor-fp8", "compressed-tensors", Storage::kFp8, Storage::kFp8, false},
        Fixture{"modelopt-w4a4", "modelopt", Storage::kNvfp4, Storage::kNvfp4, true},
        Fixture{"modelopt-mixed", "modelopt", Storage::kNvfp4, Storage::kFp8, true},
        Fixture{"autoround", "auto-round", Storage::kNvfp4, Storage::kNvfp4, true}));

TEST(FixtureQuirks, KvScalesStayPlain) {
  // This export's values are uncalibrated memory: listed as tensors, never applied.
  const auto opened = Checkpoint::open(fixture("llmcompressor-mlp-fp8kv"));
  ASSERT_TRUE(opened) << opened.error().to_string();
  const TensorInfo* k_scale = (*opened)->find("layers.3.self_attn.k_scale");
  ASSERT_NE(k_scale, nullptr);
  EXPECT_EQ(k_scale->storage, Storage::kPlain);
}

TEST(FixtureQuirks, HfQuantConfigAloneIsEnough) {
  const test::TemporaryFolder folder;
  fs::copy(fixture("modelopt-w4a4"), folder.path(), fs::copy_options::recursive);
  auto config = read_json_file(folder.path("config.json"));
  ASSERT_TRUE(config);
  config->erase("quantization_config");
  ASSERT_TRUE(write_file_atomically(folder.path("config.json"), dump_json(*config)));
  expect_decodes_to(folder.path(), fixture("modelopt-w4a4.expected.safetensors"));
}

TEST(FixtureQuirks, AutoRoundsCompressedTensorsExportOpens) {
  const test::TemporaryFolder folder;
  fs::copy(fixture("autoround/model.safetensors"), folder.path("model.safetensors"));
  fs::copy(fixture("autoround/config.llm_compressor.json"), folder.path("config.json"));
  expect_decodes_to(folder.path(), fixture("autoround.expected.safetensors"));
}

TEST(FixtureQuirks, TheHeadOfAMixedExportIsQuantized) {
  const auto opened = Checkpoint::open(fixture("modelopt-mixed"));
  ASSERT_TRUE(opened) << opened.error().to_string();
  const TensorInfo* head = (*opened)->find("lm_head.weight");
  ASSERT_NE(head, nullptr);
  EXPECT_EQ(head->storage, Storage::kNvfp4);
  EXPECT_EQ(storage_name(*head), "NVFP4");
  EXPECT_EQ(storage_name(*(*opened)->find("layers.0.linear_attn.out_proj.weight")), "FP8");
}

TEST(FixtureQuirks, VisionIsPlainThoughTheDescriptionIgnoresNone) {
  // AutoRound's llm_compressor export says that every linear is quantized.
  const test::TemporaryFolder folder;
  fs::copy(fixture("autoround/model.safetensors"), folder.path("model.safetensors"));
  fs::copy(fixture("autoround/config.llm_compressor.json"), folder.path("config.json"));
  const auto opened = Checkpoint::open(folder.path());
  ASSERT_TRUE(opened) << opened.error().to_string();
  EXPECT_EQ((*opened)->dialect(), "compressed-tensors");
  EXPECT_EQ((*opened)->find("visual.blocks.0.attn.qkv.weight")->storage, Storage::kPlain);
}

TEST(OpenCheckpoint, GivesTheTextOfSideFiles) {
  const auto opened = Checkpoint::open(test::source_path("models/nano"));
  ASSERT_TRUE(opened) << opened.error().to_string();
  const auto text = (*opened)->side_file("tokenizer_config.json");
  ASSERT_TRUE(text) << text.error().to_string();
  EXPECT_THAT(*text, testing::HasSubstr("Qwen2Tokenizer"));
  EXPECT_EQ((*opened)->side_file("missing.json").error().code, ErrorCode::kNotFound);
  for (const char* name : {"", ".", "..", "../config.json", "/etc/passwd", "a/b"}) {
    EXPECT_EQ((*opened)->side_file(name).error().code, ErrorCode::kInvalidArgument) << name;
  }
}

}  // namespace
}  // namespace nibble
