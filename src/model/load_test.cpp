// What loading accepts and refuses.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "model/model_test_fixture.h"
#include "numbers/bf16.h"

namespace nibble {
namespace {

const char* const kMicro = "tests/data/model/micro_r3";
const std::string kPrefix = "model.language_model.";

class LoadTest : public testing::Test {
 protected:
  LoadTest() : edit_(test::source_path(kMicro)), backend_(make_cpu_backend({}).value()) {}

  Result<std::unique_ptr<Model>> load(const ModelOptions& options = {}) {
    edit_.write(folder_.path());
    ASSIGN_OR_RETURN(auto checkpoint, Checkpoint::open(folder_.path()));
    return load_model(std::move(checkpoint), *backend_, options);
  }
  std::vector<float> logits() {
    auto model = load();
    EXPECT_TRUE(model.has_value()) << model.error().to_string();
    if (!model) return {};
    const std::vector<int32_t> tokens = {1, 20, 200, 3};
    auto state = (*model)->new_state(4).value();
    return test::run(**model, *state, tokens);
  }
  // Rewrites a BF16 tensor in another type with the same values.
  void widen(const std::string& name) {
    const Tensor& old = edit_.tensors.at(name);
    Tensor wide = Tensor::zeros(DType::kF32, old.shape()).value();
    ASSERT_TRUE(to_f32(old.view(), wide.as<float>()).has_value());
    edit_.tensors[name] = std::move(wide);
  }
  void poison(const std::string& name, size_t index, float value) {
    Tensor& tensor = edit_.tensors.at(name);
    if (tensor.dtype() == DType::kF32) {
      tensor.as<float>()[index] = value;
    } else {
      tensor.as<uint16_t>()[index] = f32_to_bf16(value);
    }
  }

  test::EditableCheckpoint edit_;
  test::TemporaryFolder folder_;
  std::unique_ptr<Backend> backend_;
};

TEST_F(LoadTest, TakesTensorsInF32) {
  const auto expected = logits();
  for (const char* name : {"norm.weight", "layers.0.linear_attn.dt_bias",
                           "layers.0.linear_attn.conv1d.weight", "layers.3.self_attn.q_norm.weight",
                           "layers.0.mlp.down_proj.weight", "layers.3.self_attn.k_proj.weight"}) {
    widen(kPrefix + name);
  }
  EXPECT_LT(test::max_difference(logits(), expected), 1e-4);
}

TEST_F(LoadTest, UsesTheEmbeddingAsTiedHead) {
  const std::string embedding = kPrefix + "embed_tokens.weight";
  const Tensor& table = edit_.tensors.at(embedding);
  Tensor head = Tensor::zeros(table.dtype(), table.shape()).value();
  std::memcpy(head.bytes().data(), table.bytes().data(), table.bytes().size());
  edit_.tensors["lm_head.weight"] = std::move(head);
  const auto expected = logits();

  edit_.config["text_config"]["tie_word_embeddings"] = true;
  EXPECT_EQ(logits(), expected);
  edit_.tensors.erase("lm_head.weight");
  EXPECT_EQ(logits(), expected);
  edit_.config["text_config"]["tie_word_embeddings"] = false;
  EXPECT_EQ(load().error().code, ErrorCode::kMismatch);
}

TEST_F(LoadTest, CountsTheBytesOfOneToken) {
  const auto model = load().value();
  uint64_t n_linear_bytes = 0;
  for (const auto& entry : edit_.tensors) {
    const bool is_text = entry.first.find("visual") == std::string::npos;
    if (is_text && entry.second.shape().size() == 2) n_linear_bytes += entry.second.bytes().size();
  }
  const uint64_t n_embedding_bytes = 272 * 64 * 2;
  const uint64_t n_expected = n_linear_bytes - n_embedding_bytes;
  EXPECT_GT(model->bytes_per_token(), n_expected);
  EXPECT_LT(model->bytes_per_token(), n_expected + n_expected / 8);
}

TEST_F(LoadTest, RefusesNotFiniteWeights) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  const std::pair<const char*, float> cases[] = {
      {"layers.3.mlp.gate_proj.weight", nan},      {"embed_tokens.weight", infinity},
      {"layers.0.linear_attn.A_log", nan},         {"layers.1.linear_attn.norm.weight", -infinity},
      {"layers.3.self_attn.k_norm.weight", nan},   {"norm.weight", infinity},
      {"layers.2.linear_attn.conv1d.weight", nan}, {"layers.2.linear_attn.dt_bias", -infinity},
  };
  for (const auto& [name, value] : cases) {
    SCOPED_TRACE(name);
    edit_ = test::EditableCheckpoint(test::source_path(kMicro));
    poison(kPrefix + name, 5, value);
    const auto model = load();
    ASSERT_FALSE(model.has_value());
    EXPECT_EQ(model.error().code, ErrorCode::kNotFinite);
    EXPECT_NE(model.error().message.find(name), std::string::npos);
    EXPECT_NE(model.error().message.find("element 5"), std::string::npos);
  }
}

TEST_F(LoadTest, ChecksBigMatricesOnlyIfAskedTo) {
  poison(kPrefix + "layers.3.mlp.gate_proj.weight", 5, std::numeric_limits<float>::infinity());
  ModelOptions options;
  options.check_finite = false;
  EXPECT_TRUE(load(options).has_value());
  poison(kPrefix + "norm.weight", 5, std::numeric_limits<float>::infinity());
  EXPECT_FALSE(load(options).has_value());
}

TEST_F(LoadTest, RefusesIntegerWeights) {
  for (const char* name : {"norm.weight", "layers.0.mlp.up_proj.weight"}) {
    edit_ = test::EditableCheckpoint(test::source_path(kMicro));
    const Shape shape = edit_.tensors.at(kPrefix + name).shape();
    edit_.tensors[kPrefix + name] = Tensor::zeros(DType::kI32, shape).value();
    const auto model = load();
    ASSERT_FALSE(model.has_value());
    EXPECT_EQ(model.error().code, ErrorCode::kUnsupported) << model.error().message;
    EXPECT_NE(model.error().message.find(name), std::string::npos) << model.error().message;
  }
}

TEST_F(LoadTest, RefusesImpossibleBatchSizes) {
  for (const size_t n : {size_t{0}, std::numeric_limits<size_t>::max()}) {
    ModelOptions options;
    options.max_batch_rows = n;
    const auto model = load(options);
    ASSERT_FALSE(model.has_value());
    EXPECT_EQ(model.error().code, ErrorCode::kInvalidArgument);
  }
}

TEST_F(LoadTest, RefusesStatesLargerThanMemory) {
  const auto model = load().value();
  for (const size_t capacity : {std::numeric_limits<size_t>::max(), size_t{1} << 50}) {
    const auto state = model->new_state(capacity);
    ASSERT_FALSE(state.has_value());
    EXPECT_EQ(state.error().code, ErrorCode::kOutOfMemory);
  }
}

TEST_F(LoadTest, ReportsProgressInBytes) {
  edit_.write(folder_.path());
  const auto checkpoint = Checkpoint::open(folder_.path()).value();
  uint64_t last = 0;
  uint64_t total = 1;
  const auto model = load_model(checkpoint, *backend_, {}, [&](const Progress& progress) {
    EXPECT_GT(progress.done, last);
    last = progress.done;
    total = progress.total;
  });
  ASSERT_TRUE(model.has_value());
  EXPECT_EQ(last, total);
}

}  // namespace
}  // namespace nibble
