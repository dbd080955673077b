// FP8 matrices in every dialect that has them: one scale or one per row, beside NVFP4, and every
// way in which one can be broken.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "checkpoint/testing/tiny_checkpoint.h"
#include "tests/test_data.h"

namespace nibble {
namespace {

using test::filled;
using test::OwnedTensor;
using test::tensor_of;
using testing::HasSubstr;

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();
const std::string kModule = "model.language_model.layers.0.self_attn.q_proj";

Json compressed_tensors_config() {
  return Json::parse(R"({"quantization_config": {
      "quant_method": "compressed-tensors", "format": "mixed-precision", "config_groups": {
        "group_0": {"targets": ["re:.*self_attn.*"], "format": "float-quantized", "weights": {
          "num_bits": 8, "type": "float", "strategy": "channel", "group_size": null}},
        "group_1": {"targets": ["Linear"], "format": "nvfp4-pack-quantized", "weights": {
          "num_bits": 4, "type": "float", "strategy": "tensor_group", "group_size": 16}}}}})");
}

Json modelopt_config(const char* algorithm) {
  Json config = Json::object();
  config["quantization_config"]["quant_method"] = "modelopt";
  config["quantization_config"]["quant_algo"] = algorithm;
  return config;
}

// [3, 4] of the value 1.5 times the scale of the row.
std::vector<OwnedTensor> parts_with(OwnedTensor scale) {
  return {filled(kModule + ".weight", DType::kF8E4M3, {3, 4}, 0x3c), std::move(scale),
          filled("model.language_model.norm.weight", DType::kBF16, {4}, 0x3f)};
}

OwnedTensor row_scales(const Shape& shape) {
  return tensor_of<float>(kModule + ".weight_scale", DType::kF32, shape, {0.5f, 0.25f, 2.0f});
}

OwnedTensor one_scale(const Shape& shape, float value = 0.5f) {
  return tensor_of<float>(kModule + ".weight_scale", DType::kF32, shape, {value});
}

std::vector<float> first_column(const Checkpoint& checkpoint) {
  const TensorInfo* tensor = checkpoint.find("layers.0.self_attn.q_proj.weight");
  if (tensor == nullptr || tensor->storage != Storage::kFp8) return {};
  EXPECT_EQ(tensor->dtype, DType::kF8E4M3);
  EXPECT_EQ(tensor->shape, (Shape{3, 4}));
  std::vector<float> values(12);
  EXPECT_TRUE(checkpoint.read_rows_f32(*tensor, 0, 3, values));
  return {values[0], values[4], values[8]};
}

TEST(Fp8Dialects, TakeOneScaleOrOnePerRowInAnyShape) {
  const test::TemporaryFolder folder;
  int n = 0;
  for (const char* dialect : {"ct", "FP8", "FP8_PER_CHANNEL_PER_TOKEN", "MIXED_PRECISION"}) {
    const bool is_ct = std::string(dialect) == "ct";
    const Json config = is_ct ? compressed_tensors_config() : modelopt_config(dialect);
    for (const Shape& shape : {Shape{}, Shape{1}, Shape{1, 1}}) {
      const std::string path = folder.path(std::to_string(++n));
      test::write_checkpoint(path, config, parts_with(one_scale(shape)));
      EXPECT_THAT(first_column(*test::open_or_fail(path)),
                  testing::ElementsAre(0.75f, 0.75f, 0.75f));
    }
    for (const Shape& shape : {Shape{3}, Shape{3, 1}}) {
      const std::string path = folder.path(std::to_string(++n));
      test::write_checkpoint(path, config, parts_with(row_scales(shape)));
      EXPECT_THAT(first_column(*test::open_or_fail(path)),
                  testing::ElementsAre(0.75f, 0.375f, 3.0f));
    }
  }
}

TEST(Fp8Dialects, WidenScalesOfOtherTypes) {
  const test::TemporaryFolder folder;
  const OwnedTensor bf16 = tensor_of<uint16_t>(kModule + ".weight_scale", DType::kBF16, {3, 1},
                                               {0x3f00, 0x3e80, 0x4000});
  test::write_checkpoint(folder.path("x"), compressed_tensors_config(), parts_with(bf16));
  EXPECT_THAT(first_column(*test::open_or_fail(folder.path("x"))),
              testing::ElementsAre(0.75f, 0.375f, 3.0f));
  const OwnedTensor f16 = tensor_of<uint16_t>(kModule + ".weight_scale", DType::kF16, {}, {0x3800});
  test::write_checkpoint(folder.path("y"), modelopt_config("FP8"), parts_with(f16));
  EXPECT_THAT(first_column(*test::open_or_fail(folder.path("y"))),
              testing::ElementsAre(0.75f, 0.75f, 0.75f));
}

TEST(Fp8Dialects, KeepStaticInputScalesAsMultipliers) {
  const test::TemporaryFolder folder;
  for (const bool is_ct : {true, false}) {
    std::vector<OwnedTensor> parts = parts_with(one_scale({1}));
    parts.push_back(tensor_of<float>(kModule + ".input_scale", DType::kF32, {1}, {0.125f}));
    const std::string path = folder.path(is_ct ? "ct" : "mo");
    test::write_checkpoint(path, is_ct ? compressed_tensors_config() : modelopt_config("FP8"),
                           parts);
    const auto checkpoint = test::open_or_fail(path);
    const TensorInfo& tensor = *checkpoint->find("layers.0.self_attn.q_proj.weight");
    EXPECT_EQ(std::get<Fp8MatrixView>(checkpoint->matrix(tensor)).input_scale, 0.125f);
    EXPECT_EQ(tensor.n_bytes, 12u + 4 + 4);
    EXPECT_EQ(checkpoint->tensors().size(), 2u);
  }
}

TEST(Fp8Dialects, StandBesideNvfp4) {
  const test::TemporaryFolder folder;
  std::vector<OwnedTensor> parts = parts_with(row_scales({3, 1}));
  const std::string mlp = "model.language_model.layers.0.mlp.up_proj";
  parts.push_back(filled(mlp + ".weight_packed", DType::kU8, {2, 8}, 0x22));
  parts.push_back(filled(mlp + ".weight_scale", DType::kF8E4M3, {2, 1}, 0x38));
  parts.push_back(tensor_of<float>(mlp + ".weight_global_scale", DType::kF32, {1}, {4.0f}));
  test::write_checkpoint(folder.path("x"), compressed_tensors_config(), parts);
  const auto checkpoint = test::open_or_fail(folder.path("x"));
  EXPECT_EQ(first_column(*checkpoint).size(), 3u);
  std::vector<float> row(16);
  ASSERT_TRUE(
      checkpoint->read_rows_f32(*checkpoint->find("layers.0.mlp.up_proj.weight"), 1, 1, row));
  EXPECT_THAT(row, testing::Each(0.25f));
}

struct Damage {
  const char* name;
  std::vector<OwnedTensor> (*parts)();
  const char* says;
};
void PrintTo(const Damage& damage, std::ostream* out) { *out << damage.name; }

class DamagedFp8 : public testing::TestWithParam<Damage> {};

TEST_P(DamagedFp8, IsRefused) {
  const test::TemporaryFolder folder;
  for (const bool is_ct : {true, false}) {
    const std::string path = folder.path(is_ct ? "ct" : "mo");
    test::write_checkpoint(path, is_ct ? compressed_tensors_config() : modelopt_config("FP8"),
                           GetParam().parts());
    const auto opened = Checkpoint::open(path);
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().code, ErrorCode::kCorrupt);
    EXPECT_THAT(opened.error().message, HasSubstr(kModule));
    EXPECT_THAT(opened.error().message, HasSubstr(GetParam().says));
  }
}

std::vector<OwnedTensor> with_row_scale(float value) {
  return parts_with(
      tensor_of<float>(kModule + ".weight_scale", DType::kF32, {3, 1}, {0.5f, value, 2.0f}));
}
std::vector<OwnedTensor> with_input_scale(float value) {
  std::vector<OwnedTensor> parts = parts_with(one_scale({1}));
  parts.push_back(tensor_of<float>(kModule + ".input_scale", DType::kF32, {1}, {value}));
  return parts;
}

INSTANTIATE_TEST_SUITE_P(
    All, DamagedFp8,
    testing::Values(
        Damage{"no_scale",
               [] {
                 std::vector<OwnedTensor> parts = parts_with(one_scale({}));
                 parts.erase(parts.begin() + 1);
                 return parts;
               },
               "lacks .weight_scale"},
        Damage{"no_codes",
               [] {
                 std::vector<OwnedTensor> parts = parts_with(one_scale({}));
                 parts.erase(parts.begin());
                 return parts;
               },
               "has scales but no"},
        Damage{"zero", [] { return parts_with(one_scale({}, 0.0f)); }, "is 0, a finite"},
        Damage{"negative", [] { return parts_with(one_scale({1}, -1.0f)); }, "is -1, a finite"},
        Damage{"nan", [] { return parts_with(one_scale({1}, kNaN)); }, "is nan, a finite"},
        Damage{"zero_row", [] { return with_row_scale(0.0f); }, "is 0 in row 1"},
        Damage{"nan_row", [] { return with_row_scale(kNaN); }, "is nan in row 1"},
        Damage{"infinite_row", [] { return with_row_scale(kInfinity); }, "is inf in row 1"},
        Damage{"scales_of_columns",
               [] { return parts_with(filled(kModule + ".weight_scale", DType::kF32, {4}, 0x3f)); },
               "one for each of 3 rows"},
        Damage{"scales_across",
               [] {
                 return parts_with(row_scales({1, 3}));
               },
               "one for each of 3 rows"},
        Damage{"scales_of_blocks",
               [] {
                 return parts_with(filled(kModule + ".weight_scale", DType::kF32, {3, 2}, 0x3f));
               },
               "smaller blocks are not supported"},
        Damage{"scales_as_integers",
               [] { return parts_with(filled(kModule + ".weight_scale", DType::kI32, {1}, 0x3f)); },
               "I32"},
        Damage{"scales_as_fp8",
               [] {
                 return parts_with(filled(kModule + ".weight_scale", DType::kF8E4M3, {3, 1}, 0x38));
               },
               "F8_E4M3 [3, 1]; one float"},
        Damage{"bad_input_scale", [] { return with_input_scale(0.0f); }, "input_scale is 0"},
        Damage{"nan_input_scale", [] { return with_input_scale(kNaN); }, "input_scale is nan"},
        Damage{"other_eight_bits",
               [] {
                 std::vector<OwnedTensor> parts = parts_with(one_scale({}));
                 parts[0] = filled(kModule + ".weight", DType::kF8E5M2, {3, 4}, 0x3c);
                 return parts;
               },
               "F8_E5M2"},
        Damage{"of_rank_3",
               [] {
                 std::vector<OwnedTensor> parts = parts_with(one_scale({}));
                 parts[0] = filled(kModule + ".weight", DType::kF8E4M3, {3, 2, 2}, 0x3c);
                 return parts;
               },
               "a matrix [rows, cols] was expected"}),
    [](const auto& test) { return std::string(test.param.name); });

TEST(Fp8Dialects, ReportAllBrokenMatricesTogether) {
  const test::TemporaryFolder folder;
  std::vector<OwnedTensor> parts;
  for (const char* name : {"a", "b", "c"}) {
    const std::string module = std::string("model.layers.0.mlp.") + name;
    parts.push_back(filled(module + ".weight", DType::kF8E4M3, {3, 4}, 0x3c));
    if (*name == 'a') continue;
    parts.push_back(tensor_of<float>(module + ".weight_scale", DType::kF32, {1},
                                     {*name == 'b' ? -0.5f : kNaN}));
  }
  test::write_checkpoint(folder.path("x"), compressed_tensors_config(), parts);
  const auto opened = Checkpoint::open(folder.path("x"));
  ASSERT_FALSE(opened);
  for (const char* says : {"3 tensors", "mlp.a lacks .weight_scale", "mlp.b.weight_scale is -0.5",
                           "mlp.c.weight_scale is nan"}) {
    EXPECT_THAT(opened.error().message, HasSubstr(says));
  }
}

TEST(Fp8Dialects, OpenWhereOnlyTheCacheIsQuantized) {
  const test::TemporaryFolder folder;
  const Json config = Json::parse(R"({"quantization_config": {
      "quant_method": "compressed-tensors", "config_groups": {}, "kv_cache_scheme": {
        "num_bits": 8, "type": "float", "strategy": "tensor", "dynamic": false}}})");
  const std::string attention = "model.language_model.layers.3.self_attn";
  test::write_checkpoint(folder.path("x"), config,
                         {filled(attention + ".q_proj.weight", DType::kBF16, {4, 4}, 0x3f),
                          tensor_of<float>(attention + ".k_scale", DType::kF32, {1}, {-2.36e10f}),
                          tensor_of<float>(attention + ".v_scale", DType::kF32, {1}, {kNaN})});
  const auto checkpoint = test::open_or_fail(folder.path("x"));
  EXPECT_EQ(checkpoint->find("layers.3.self_attn.v_scale")->storage, Storage::kPlain);
}

}  // namespace
}  // namespace nibble
