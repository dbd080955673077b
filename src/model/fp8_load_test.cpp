// Running FP8 checkpoints: the same numbers as their values in plain F32, and NaN codes refused.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "model/model_test_fixture.h"
#include "numbers/e4m3.h"

namespace nibble {
namespace {

const std::string kPrefix = "model.language_model.";

class Fp8LoadTest : public testing::TestWithParam<std::string> {
 protected:
  Fp8LoadTest()
      : edit_(test::source_path("tests/data/model/micro_r3")),
        backend_(make_cpu_backend({1, GetParam()}).value()) {
    edit_.config["quantization_config"] =
        Json::parse(R"({"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION"})");
  }

  // A matrix in FP8, with one scale or one per row, beside its values in plain F32.
  void quantize(const std::string& name, bool per_row) {
    const Tensor& old = edit_.tensors.at(name + ".weight");
    const Shape shape = old.shape();
    std::vector<float> values(shape[0] * shape[1]);
    ASSERT_TRUE(to_f32(old.view(), values).has_value());
    Tensor codes = Tensor::zeros(DType::kF8E4M3, shape).value();
    Tensor scales = Tensor::zeros(DType::kF32, {per_row ? shape[0] : 1}).value();
    Tensor plain = Tensor::zeros(DType::kF32, shape).value();
    const size_t n = values.size() / scales.as<float>().size();
    for (size_t i = 0; i < values.size(); ++i) {
      float& scale = scales.as<float>()[i / n];
      if (i % n == 0) {
        const auto part = std::span(values).subspan(i, n);
        for (const float v : part) scale = std::max(scale, std::fabs(v) / kE4m3Max);
      }
      const uint8_t code = f32_to_e4m3(values[i] / scale);
      codes.as<uint8_t>()[i] = code;
      plain.as<float>()[i] = e4m3_to_f32(code) * scale;
    }
    edit_.tensors[name + ".weight"] = std::move(codes);
    edit_.tensors[name + ".weight_scale"] = std::move(scales);
    plain_[name] = std::move(plain);
  }

  void make_plain() {
    for (auto& [name, plain] : plain_) {
      edit_.tensors[name + ".weight"] = std::move(plain);
      edit_.tensors.erase(name + ".weight_scale");
    }
  }

  Result<std::unique_ptr<Model>> load() {
    edit_.write(folder_.path());
    ASSIGN_OR_RETURN(auto checkpoint, Checkpoint::open(folder_.path()));
    return load_model(std::move(checkpoint), *backend_);
  }
  std::vector<float> logits() {
    auto model = load();
    EXPECT_TRUE(model.has_value()) << model.error().to_string();
    if (!model) return {};
    std::vector<int32_t> tokens(20);
    for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<int32_t>(i * 11 + 1);
    auto state = (*model)->new_state(tokens.size()).value();
    return test::run(**model, *state, tokens);
  }

  test::EditableCheckpoint edit_;
  std::map<std::string, Tensor> plain_;
  test::TemporaryFolder folder_;
  std::unique_ptr<Backend> backend_;
};

TEST_P(Fp8LoadTest, RunsAsTheValuesThatItsCodesMean) {
  bool per_row = false;
  for (const char* name :
       {"embed_tokens", "layers.0.linear_attn.in_proj_qkv", "layers.0.linear_attn.in_proj_a",
        "layers.0.linear_attn.out_proj", "layers.1.mlp.down_proj", "layers.3.self_attn.q_proj",
        "layers.3.self_attn.o_proj", "layers.3.mlp.gate_proj"}) {
    quantize(kPrefix + name, per_row);
    per_row = !per_row;
  }
  quantize("lm_head", true);
  const std::vector<float> found = logits();
  make_plain();
  EXPECT_LT(test::max_difference(found, logits()), 1e-4);
}

TEST_P(Fp8LoadTest, RefusesNaNCodes) {
  const std::string name = kPrefix + "layers.1.mlp.up_proj";
  quantize(name, true);
  Tensor& codes = edit_.tensors.at(name + ".weight");
  codes.as<uint8_t>()[codes.shape()[1] * 7 + 3] = 0xff;
  const auto model = load();
  ASSERT_FALSE(model.has_value());
  EXPECT_EQ(model.error().code, ErrorCode::kNotFinite);
  EXPECT_NE(model.error().message.find("layers.1.mlp.up_proj.weight"), std::string::npos);
  EXPECT_NE(model.error().message.find("row 7"), std::string::npos) << model.error().message;
}

INSTANTIATE_TEST_SUITE_P(Cpu, Fp8LoadTest, testing::ValuesIn(test::supported_implementations()),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace nibble
