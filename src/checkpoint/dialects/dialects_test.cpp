// The same tiny model in every dialect, and every way in which a quantized matrix can be broken.
#include <fmt/format.h>
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

const std::string kModule = "model.language_model.layers.0.mlp.up_proj";

Json compressed_tensors_config(bool activations) {
  const Json args = {{"num_bits", 4},
                     {"type", "float"},
                     {"strategy", "tensor_group"},
                     {"group_size", 16},
                     {"symmetric", true}};
  Json config = Json::parse(R"({"model_type": "qwen3_5"})");
  Json& section = config["quantization_config"];
  section["quant_method"] = "compressed-tensors";
  section["format"] = "nvfp4-pack-quantized";
  section["config_groups"]["group_0"]["targets"] = Json::array({"Linear"});
  section["config_groups"]["group_0"]["weights"] = args;
  section["config_groups"]["group_0"]["input_activations"] = activations ? args : Json(nullptr);
  return config;
}

Json modelopt_config() {
  return Json::parse(R"({"model_type": "qwen3_5", "quantization_config": {
      "quant_method": "modelopt", "quant_algo": "NVFP4"}})");
}

OwnedTensor scalar(const std::string& name, float value, const Shape& shape) {
  return tensor_of<float>(name, DType::kF32, shape, {value});
}

// A matrix of [4, 32] whose parts follow the dialect.
std::vector<OwnedTensor> compressed_tensors_parts() {
  return {filled(kModule + ".weight_packed", DType::kU8, {4, 16}, 0x2b),
          filled(kModule + ".weight_scale", DType::kF8E4M3, {4, 2}, 0x3c),
          scalar(kModule + ".weight_global_scale", 4096.0f, {1}),
          scalar(kModule + ".input_global_scale", 256.0f, {1}),
          filled("model.language_model.norm.weight", DType::kBF16, {32}, 0x3f)};
}

std::vector<OwnedTensor> modelopt_parts() {
  return {filled(kModule + ".weight", DType::kU8, {4, 16}, 0x2b),
          filled(kModule + ".weight_scale", DType::kF8E4M3, {4, 2}, 0x3c),
          scalar(kModule + ".weight_scale_2", 1.0f / 4096.0f, {}),
          scalar(kModule + ".input_scale", 1.0f / 256.0f, {}),
          filled("model.language_model.norm.weight", DType::kBF16, {32}, 0x3f)};
}

OwnedTensor& part(std::vector<OwnedTensor>& parts, const std::string& ending) {
  for (OwnedTensor& tensor : parts) {
    if (tensor.name == kModule + ending) return tensor;
  }
  ADD_FAILURE() << ending;
  return parts.front();
}

void expect_tiny_model(const Checkpoint& checkpoint) {
  const TensorInfo* up = checkpoint.find("layers.0.mlp.up_proj.weight");
  ASSERT_NE(up, nullptr);
  ASSERT_EQ(up->storage, Storage::kNvfp4);
  EXPECT_EQ(up->stored_name, kModule + ".weight");
  EXPECT_EQ(up->shape, (Shape{4, 32}));
  EXPECT_EQ(up->n_bytes, 4u * 16 + 4 * 2 + 4 + 4);
  const QuantizedMatrixView matrix = checkpoint.nvfp4(*up);
  EXPECT_EQ(matrix.tensor_scale, 1.0f / 4096.0f);
  EXPECT_EQ(matrix.input_scale, 1.0f / 256.0f);
  std::vector<float> row(32);
  ASSERT_TRUE(checkpoint.read_rows_f32(*up, 3, 1, row));
  EXPECT_EQ(row[0], -1.5f * 1.5f / 4096.0f);
  EXPECT_EQ(row[1], 1.0f * 1.5f / 4096.0f);
  EXPECT_EQ(checkpoint.tensors().size(), 2u);
  EXPECT_EQ(checkpoint.find("norm.weight")->storage, Storage::kPlain);
}

TEST(Dialects, GiveTheSameModel) {
  const test::TemporaryFolder folder;
  test::write_checkpoint(folder.path("ct"), compressed_tensors_config(true),
                         compressed_tensors_parts());
  test::write_checkpoint(folder.path("mo"), modelopt_config(), modelopt_parts());
  test::write_checkpoint(folder.path("file"), Json::parse("{}"), modelopt_parts());
  test::write_text(folder.path("file/hf_quant_config.json"),
                   R"({"producer": {"name": "modelopt"},
                       "quantization": {"quant_algo": "NVFP4", "group_size": 16}})");
  for (const char* name : {"ct", "mo", "file"}) {
    const auto checkpoint = test::open_or_fail(folder.path(name));
    ASSERT_NE(checkpoint, nullptr);
    expect_tiny_model(*checkpoint);
    EXPECT_TRUE(check_scales(*checkpoint));
  }
}

TEST(Dialects, PutPartsOfDifferentShardsTogether) {
  const test::TemporaryFolder folder;
  std::vector<OwnedTensor> parts = compressed_tensors_parts();
  test::write_checkpoint(folder.path("x"), compressed_tensors_config(true), {parts[0], parts[4]});
  std::filesystem::rename(folder.path("x/model.safetensors"), folder.path("x/b.safetensors"));
  test::write_tensors(folder.path("x/a.safetensors"), {parts[1], parts[2], parts[3]});
  expect_tiny_model(*test::open_or_fail(folder.path("x")));
}

struct Damage {
  const char* name;
  void (*apply)(std::vector<OwnedTensor>& parts);
  const char* says;
};

void PrintTo(const Damage& damage, std::ostream* out) { *out << damage.name; }

void drop(std::vector<OwnedTensor>& parts, const std::string& ending) {
  std::erase_if(parts, [&](const OwnedTensor& tensor) { return tensor.name == kModule + ending; });
}
void set_scale(std::vector<OwnedTensor>& parts, const std::string& ending, float value) {
  part(parts, ending) = scalar(kModule + ending, value, {1});
}

class DamagedMatrix : public testing::TestWithParam<Damage> {};

TEST_P(DamagedMatrix, IsRefused) {
  const test::TemporaryFolder folder;
  std::vector<OwnedTensor> parts = compressed_tensors_parts();
  GetParam().apply(parts);
  test::write_checkpoint(folder.path("x"), compressed_tensors_config(true), parts);
  const auto opened = Checkpoint::open(folder.path("x"));
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, ErrorCode::kCorrupt);
  EXPECT_THAT(opened.error().message, HasSubstr(kModule));
  EXPECT_THAT(opened.error().message, HasSubstr(GetParam().says));
}

using Parts = std::vector<OwnedTensor>;
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

INSTANTIATE_TEST_SUITE_P(
    All, DamagedMatrix,
    testing::Values(
        Damage{"no_codes", [](Parts& p) { drop(p, ".weight_packed"); }, "no .weight_packed"},
        Damage{"no_scales", [](Parts& p) { drop(p, ".weight_scale"); }, "lacks .weight_scale"},
        Damage{"no_tensor_scale", [](Parts& p) { drop(p, ".weight_global_scale"); },
               "lacks .weight_global_scale"},
        Damage{"nan", [](Parts& p) { set_scale(p, ".weight_global_scale", kNaN); }, "is nan"},
        Damage{"infinite", [](Parts& p) { set_scale(p, ".weight_global_scale", kInfinity); },
               "is inf"},
        Damage{"negative", [](Parts& p) { set_scale(p, ".weight_global_scale", -1.0f); }, "is -1"},
        Damage{"zero", [](Parts& p) { set_scale(p, ".weight_global_scale", 0.0f); }, "is 0"},
        Damage{"reciprocal_overflows",
               [](Parts& p) { set_scale(p, ".weight_global_scale", 1e-40f); }, "above 0"},
        Damage{"bad_input_scale", [](Parts& p) { set_scale(p, ".input_global_scale", -2.0f); },
               "input_global_scale is -2"},
        Damage{"two_tensor_scales",
               [](Parts& p) {
                 part(p, ".weight_global_scale") =
                     filled(kModule + ".weight_global_scale", DType::kF32, {2}, 0x40);
               },
               "one float"},
        Damage{"integer_tensor_scale",
               [](Parts& p) {
                 part(p, ".weight_global_scale") =
                     filled(kModule + ".weight_global_scale", DType::kI32, {1}, 0x40);
               },
               "one float"},
        Damage{
            "scales_as_u8",
            [](Parts& p) {
              part(p, ".weight_scale") = filled(kModule + ".weight_scale", DType::kU8, {4, 2}, 8);
            },
            "F8_E4M3 [4, 2] was expected"},
        Damage{"scales_of_wrong_shape",
               [](Parts& p) {
                 part(p, ".weight_scale") =
                     filled(kModule + ".weight_scale", DType::kF8E4M3, {2, 4}, 8);
               },
               "F8_E4M3 [4, 2] was expected"},
        Damage{"codes_as_i8",
               [](Parts& p) {
                 part(p, ".weight_packed") =
                     filled(kModule + ".weight_packed", DType::kI8, {4, 16}, 8);
               },
               "must be U8"},
        Damage{"odd_columns",
               [](Parts& p) {
                 part(p, ".weight_packed") =
                     filled(kModule + ".weight_packed", DType::kU8, {4, 15}, 8);
               },
               "multiple of 16"},
        Damage{"no_rows",
               [](Parts& p) {
                 part(p, ".weight_packed") =
                     filled(kModule + ".weight_packed", DType::kU8, {0, 16}, 8);
               },
               "must be U8"},
        Damage{"codes_of_rank_3",
               [](Parts& p) {
                 part(p, ".weight_packed") =
                     filled(kModule + ".weight_packed", DType::kU8, {2, 4, 8}, 8);
               },
               "must be U8"},
        Damage{"plain_beside_codes",
               [](Parts& p) {
                 p.push_back(filled(kModule + ".weight", DType::kBF16, {4, 32}, 0));
               },
               "is stored as BF16"},
        Damage{"zero_points",
               [](Parts& p) {
                 p.push_back(filled(kModule + ".weight_zero_point", DType::kI8, {4, 2}, 0));
               },
               "not supported"}),
    [](const auto& test) { return std::string(test.param.name); });

TEST(Dialects, ReportAllBrokenMatricesTogether) {
  const test::TemporaryFolder folder;
  std::vector<OwnedTensor> parts;
  for (int i = 0; i < 15; ++i) {
    const std::string module = fmt::format("model.layers.{}.mlp.up_proj", i);
    parts.push_back(filled(module + ".weight_packed", DType::kU8, {4, 16}, 0));
  }
  test::write_checkpoint(folder.path("x"), compressed_tensors_config(false), parts);
  const auto opened = Checkpoint::open(folder.path("x"));
  ASSERT_FALSE(opened);
  EXPECT_THAT(opened.error().message, HasSubstr("15 tensors"));
  EXPECT_THAT(opened.error().message,
              HasSubstr("model.layers.9.mlp.up_proj lacks .weight_scale .weight_global_scale"));
  EXPECT_THAT(opened.error().message, HasSubstr("and 5 more"));
}

TEST(Dialects, CheckScalesFindsBadBytes) {
  for (const uint8_t byte : {0x7f, 0xff, 0x80, 0xb8}) {
    const test::TemporaryFolder folder;
    std::vector<OwnedTensor> parts = compressed_tensors_parts();
    part(parts, ".weight_scale").bytes[5] = std::byte{byte};
    test::write_checkpoint(folder.path("x"), compressed_tensors_config(true), parts);
    const Status status = check_scales(*test::open_or_fail(folder.path("x")));
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, ErrorCode::kCorrupt);
    EXPECT_THAT(status.error().message, HasSubstr("row 2, block 1"));
  }
  const test::TemporaryFolder folder;
  std::vector<OwnedTensor> parts = compressed_tensors_parts();
  set_scale(parts, ".weight_global_scale", 1.0f / 4096.0f);
  test::write_checkpoint(folder.path("x"), compressed_tensors_config(true), parts);
  const Status inverted = check_scales(*test::open_or_fail(folder.path("x")));
  ASSERT_FALSE(inverted);
  EXPECT_THAT(inverted.error().message, HasSubstr("inverted"));
}

struct Refused {
  const char* description;
  ErrorCode code;
  const char* says;
};

class OtherDescriptions : public testing::TestWithParam<Refused> {};

TEST_P(OtherDescriptions, AreNamed) {
  const test::TemporaryFolder folder;
  Json config = Json::object();
  config["quantization_config"] = Json::parse(GetParam().description);
  test::write_checkpoint(folder.path("x"), config, modelopt_parts());
  const auto opened = Checkpoint::open(folder.path("x"));
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, GetParam().code) << opened.error().to_string();
  EXPECT_THAT(opened.error().message, HasSubstr(GetParam().says));
}

INSTANTIATE_TEST_SUITE_P(
    All, OtherDescriptions,
    testing::Values(
        Refused{R"({"quant_method": "awq", "bits": 4})", ErrorCode::kUnsupported, "\"awq\""},
        Refused{R"({"quant_method": "gptq"})", ErrorCode::kUnsupported, "\"gptq\""},
        Refused{R"({"quant_method": "bitsandbytes"})", ErrorCode::kUnsupported, "bitsandbytes"},
        Refused{R"({"quant_method": "fp8"})", ErrorCode::kUnsupported, "\"fp8\""},
        Refused{R"({"quant_method": 7})", ErrorCode::kUnsupported, "(none)"},
        Refused{R"({})", ErrorCode::kUnsupported, "(none)"},
        Refused{R"({"quant_method": "modelopt"})", ErrorCode::kCorrupt, "quant_algo"},
        Refused{R"({"quant_method": "modelopt", "quant_algo": "FP8_PB_WO"})",
                ErrorCode::kUnsupported, "FP8_PB_WO"},
        Refused{R"({"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION",
                    "quantized_layers": {"a.q": {"quant_algo": "FP8"},
                    "a.k": {"quant_algo": "INT4_AWQ"}, "a.v": {"quant_algo": "MXFP8"}}})",
                ErrorCode::kUnsupported, "INT4_AWQ in a.k; MXFP8 in a.v"},
        Refused{R"({"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION",
                    "quantized_layers": {"a.q": {"quant_algo": "NVFP4", "group_size": 32}}})",
                ErrorCode::kUnsupported, "blocks of 32"},
        Refused{R"({"quant_method": "auto-round", "packing_format": "auto_round:auto_gptq",
                    "data_type": "int", "bits": 4, "group_size": 128})",
                ErrorCode::kUnsupported, "auto_round:auto_gptq"},
        Refused{R"({"quant_method": "auto-round", "packing_format": "auto_round:llm_compressor",
                    "data_type": "mx_fp", "bits": 4, "group_size": 32})",
                ErrorCode::kUnsupported, "mx_fp"},
        Refused{R"({"quant_method": "modelopt", "quant_algo": "NVFP4_AWQ"})",
                ErrorCode::kUnsupported, "NVFP4_AWQ"},
        Refused{R"({"quant_method": "modelopt", "quant_algo": "NVFP4", "group_size": 32})",
                ErrorCode::kUnsupported, "32"},
        Refused{R"({"quant_method": "compressed-tensors"})", ErrorCode::kCorrupt, "config_groups"},
        Refused{R"({"quant_method": "compressed-tensors", "format": "pack-quantized"})",
                ErrorCode::kUnsupported, "pack-quantized"},
        Refused{R"({"quant_method": "compressed-tensors", "format": "nvfp4-pack-quantized",
                    "transform_config": {"config_groups": {"u": {}}}})",
                ErrorCode::kUnsupported, "transform"},
        Refused{R"({"quant_method": "compressed-tensors", "format": "nvfp4-pack-quantized",
                    "sparsity_config": {"format": "sparse-24-bitmask"}})",
                ErrorCode::kUnsupported, "sparse-24-bitmask"},
        Refused{R"({"quant_method": "compressed-tensors", "format": "mixed-precision",
                    "config_groups": {"group_0": {"weights": {"num_bits": 8, "type": "float",
                    "strategy": "block"}}}})",
                ErrorCode::kUnsupported, "8-bit float"},
        Refused{R"({"quant_method": "compressed-tensors", "format": "mixed-precision",
                    "config_groups": {"group_0": {"weights": {"num_bits": 8, "type": "int",
                    "strategy": "channel"}}}})",
                ErrorCode::kUnsupported, "8-bit int"},
        Refused{R"({"quant_method": "compressed-tensors", "format": "mixed-precision",
                    "config_groups": {"group_0": {"format": "int-quantized",
                    "weights": {"num_bits": 8}}}})",
                ErrorCode::kUnsupported, "int-quantized"}));

TEST(Dialects, RefuseQuantizedTensorsWithoutADescription) {
  const test::TemporaryFolder folder;
  test::write_checkpoint(folder.path("x"), Json::object(), compressed_tensors_parts());
  const auto opened = Checkpoint::open(folder.path("x"));
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(opened.error().message, HasSubstr("describes no quantization"));
  test::write_checkpoint(folder.path("y"), Json::object(),
                         {filled("a.weight", DType::kF8E4M3, {4, 4}, 0)});
  EXPECT_FALSE(Checkpoint::open(folder.path("y")));
}

TEST(Dialects, ReadPlainFloatsOfEveryWidth) {
  const test::TemporaryFolder folder;
  test::write_checkpoint(folder.path("x"), Json::object(),
                         {tensor_of<float>("a", DType::kF32, {1, 2}, {1.5f, -2.0f}),
                          tensor_of<uint16_t>("b", DType::kBF16, {2}, {0x3fc0, 0xc000}),
                          tensor_of<uint16_t>("c", DType::kF16, {2}, {0x3e00, 0xc000}),
                          tensor_of<double>("d", DType::kF64, {2}, {1.5, -2.0}),
                          tensor_of<int32_t>("e", DType::kI32, {2}, {1, 2}),
                          tensor_of<float>("f", DType::kF32, {}, {1.5f})});
  const auto checkpoint = test::open_or_fail(folder.path("x"));
  EXPECT_EQ(checkpoint->dialect(), "hf");
  std::vector<float> row(2);
  for (const char* name : {"a", "b", "c", "d"}) {
    const TensorInfo& tensor = *checkpoint->find(name);
    ASSERT_TRUE(checkpoint->read_rows_f32(tensor, 0, tensor.shape[0], row)) << name;
    EXPECT_THAT(row, testing::ElementsAre(1.5f, -2.0f)) << name;
  }
  EXPECT_FALSE(checkpoint->read_rows_f32(*checkpoint->find("e"), 0, 2, row));
  EXPECT_FALSE(checkpoint->read_rows_f32(*checkpoint->find("f"), 0, 1, row));
}

}  // namespace
}  // namespace nibble
