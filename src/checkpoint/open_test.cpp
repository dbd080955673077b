// Opening real checkpoints: the bundled model and other tools' exports.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "checkpoint/checkpoint.h"
#include "checkpoint/tensor_file.h"
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

class GoldenExport : public testing::TestWithParam<const char*> {};

TEST_P(GoldenExport, DecodesToTheToolsOwnValues) {
  const std::string folder = test::golden_path(std::string("exports/") + GetParam());
  REQUIRE_GOLDEN(folder);
  const test::TemporaryFolder temporary;
  link_without_golden(folder, temporary.path());
  const auto opened = Checkpoint::open(temporary.path());
  ASSERT_TRUE(opened) << opened.error().to_string();
  EXPECT_TRUE(check_scales(**opened));
  const auto golden = TensorFile::open(folder + "/golden.safetensors");
  ASSERT_TRUE(golden) << golden.error().to_string();
  size_t n_compared = 0;
  for (const std::string& name : golden->names()) {
    constexpr std::string_view kPrefix = "dequantized.model.language_model.";
    if (!name.starts_with(kPrefix)) continue;
    const TensorInfo* tensor = (*opened)->find(name.substr(kPrefix.size()) + ".weight");
    ASSERT_NE(tensor, nullptr) << name;
    EXPECT_EQ(tensor->storage, Storage::kNvfp4);
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

INSTANTIATE_TEST_SUITE_P(Tools, GoldenExport,
                         testing::Values("llmcompressor-nvfp4", "llmcompressor-nvfp4a16-cut",
                                         "llmcompressor-nvfp4-mlp-fp8kv-cut", "modelopt-nvfp4"));

struct RefusedExport {
  const char* folder;
  const char* says;
};
class UnsupportedExport : public testing::TestWithParam<RefusedExport> {};

TEST_P(UnsupportedExport, IsRefusedByName) {
  const std::string folder = test::golden_path(std::string("exports/") + GetParam().folder);
  REQUIRE_GOLDEN(folder);
  const test::TemporaryFolder temporary;
  link_without_golden(folder, temporary.path());
  const auto opened = Checkpoint::open(temporary.path());
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, ErrorCode::kUnsupported) << opened.error().to_string();
  EXPECT_THAT(opened.error().message, testing::HasSubstr(GetParam().says));
  EXPECT_THAT(opened.error().message, testing::HasSubstr("nvfp4-pack-quantized"));
}

INSTANTIATE_TEST_SUITE_P(
    Tools, UnsupportedExport,
    testing::Values(RefusedExport{"llmcompressor-fp8-dynamic-cut", "float-quantized"},
                    RefusedExport{"modelopt-mixed-fp8kv-cut", "MIXED_PRECISION"},
                    RefusedExport{"autoround-nvfp4-cut", "auto-round"}));

}  // namespace
}  // namespace nibble
