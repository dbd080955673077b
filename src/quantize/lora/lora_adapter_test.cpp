#include "quantize/lora/lora_adapter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "numbers/bf16.h"
#include "quantize/checkpoint_fixture.h"

namespace nibble {
namespace {

using testing::HasSubstr;

// One tensor of an adapter, values and stored bytes.
struct Stored {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
  std::vector<float> values;  // as they are after rounding to dtype
  std::vector<std::byte> bytes;
};

Stored random_tensor(std::string name, DType dtype, Shape shape, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0.0f, 0.05f);
  Stored stored{std::move(name), dtype, std::move(shape), {}, {}};
  for (uint64_t i = 0; i < *n_elements(stored.shape); ++i) {
    const float value = normal(generator);
    std::byte raw[4];
    if (dtype == DType::kF32) {
      store_le(raw, value);
      stored.values.push_back(value);
    } else {
      const bool half = dtype == DType::kF16;
      const uint16_t word = half ? f32_to_f16(value) : f32_to_bf16(value);
      store_le(raw, word);
      stored.values.push_back(half ? f16_to_f32(word) : bf16_to_f32(word));
    }
    stored.bytes.insert(stored.bytes.end(), raw, raw + dtype_bytes(dtype));
  }
  return stored;
}

class LoraAdapterTest : public testing::Test {
 protected:
  void SetUp() override {
    auto opened = Checkpoint::open(test::nano());
    ASSERT_TRUE(opened);
    source_ = *opened;
  }

  const TensorInfo& tensor(const std::string& name) const { return *source_->find(name); }

  /// A pair for a module, named as PEFT does it.
  void add_pair(const std::string& module, uint64_t rank, DType dtype, unsigned seed) {
    const TensorInfo& base = tensor(module + ".weight");
    const std::string stored = base.stored_name.substr(0, base.stored_name.size() - 7);
    tensors_.push_back(random_tensor("base_model.model." + stored + ".lora_A.weight", dtype,
                                     {rank, base.shape[1]}, seed));
    tensors_.push_back(random_tensor("base_model.model." + stored + ".lora_B.weight", dtype,
                                     {base.shape[0], rank}, seed + 1));
  }

  void write() {
    std::vector<NamedTensor> views;
    for (const Stored& stored : tensors_) {
      views.push_back({stored.name, {stored.dtype, stored.shape, stored.bytes}});
    }
    ASSERT_TRUE(write_tensor_file(folder_.path("adapter_model.safetensors"), views));
    ASSERT_TRUE(write_file_atomically(folder_.path("adapter_config.json"), dump_json(config_)));
  }

  Result<std::shared_ptr<const LoraAdapter>> open() {
    write();
    return LoraAdapter::open(folder_.path(), *source_);
  }

  /// W + scale * B A of the pair at index `pair`, by the definition, rounded to BF16.
  std::vector<uint16_t> reference(const std::string& name, size_t pair, float scale) const {
    const TensorInfo& base = tensor(name);
    const Stored& a = tensors_[2 * pair];
    const Stored& b = tensors_[2 * pair + 1];
    const uint64_t rank = a.shape[0];
    std::vector<float> weights(base.shape[0] * base.shape[1]);
    EXPECT_TRUE(source_->read_rows_f32(base, 0, base.shape[0], weights));
    std::vector<uint16_t> merged;
    for (uint64_t r = 0; r < base.shape[0]; ++r) {
      for (uint64_t c = 0; c < base.shape[1]; ++c) {
        float sum = 0.0f;
        for (uint64_t k = 0; k < rank; ++k) {
          const float product = b.values[r * rank + k] * a.values[k * base.shape[1] + c];
          sum = sum + product;
        }
        const float change = scale * sum;
        merged.push_back(f32_to_bf16(weights[r * base.shape[1] + c] + change));
      }
    }
    return merged;
  }

  void expect_merged(const LoraAdapter& adapter, const std::string& name, size_t pair,
                     float scale) {
    ASSERT_TRUE(adapter.changes(tensor(name)));
    const std::vector<uint16_t> expected = reference(name, pair, scale);
    for (const size_t n_threads : {1, 3}) {
      ThreadPool pool(n_threads);
      const auto merged = adapter.merged(*source_, tensor(name), pool);
      ASSERT_TRUE(merged) << merged.error().to_string();
      ASSERT_EQ(merged->bytes().size(), expected.size() * 2);
      for (size_t i = 0; i < expected.size(); ++i) {
        ASSERT_EQ(load_le<uint16_t>(merged->bytes().data() + 2 * i), expected[i]) << name << i;
      }
    }
  }

  Error refusal() {
    const auto adapter = open();
    EXPECT_FALSE(adapter);
    return adapter ? Error(ErrorCode::kIo, "it opened") : adapter.error();
  }

  Json config_ = {{"peft_type", "LORA"}, {"r", 8}, {"lora_alpha", 16}, {"bias", "none"}};
  std::vector<Stored> tensors_;
  std::shared_ptr<const Checkpoint> source_;
  test::TemporaryFolder folder_;
};

TEST_F(LoraAdapterTest, AddsScaledProductsOfEveryStoredType) {
  add_pair("layers.3.self_attn.q_proj", 8, DType::kF32, 1);
  add_pair("layers.0.mlp.down_proj", 8, DType::kBF16, 3);
  add_pair("layers.0.linear_attn.out_proj", 8, DType::kF16, 5);
  const auto adapter = open();
  ASSERT_TRUE(adapter) << adapter.error().to_string();
  EXPECT_EQ((*adapter)->n_changed(), 3u);
  expect_merged(**adapter, "layers.3.self_attn.q_proj.weight", 0, 2.0f);
  expect_merged(**adapter, "layers.0.mlp.down_proj.weight", 1, 2.0f);
  expect_merged(**adapter, "layers.0.linear_attn.out_proj.weight", 2, 2.0f);
}

TEST_F(LoraAdapterTest, RanksAndAlphasMayDifferByModule) {
  config_["use_rslora"] = true;
  config_["rank_pattern"] = {{"layers.0.mlp.down_proj", 4}};
  config_["alpha_pattern"] = {{"(gate|down)_proj", 6}};
  add_pair("layers.0.mlp.down_proj", 4, DType::kF32, 1);
  add_pair("layers.1.mlp.down_proj", 8, DType::kF32, 3);
  add_pair("layers.1.mlp.up_proj", 8, DType::kF32, 5);
  const auto adapter = open();
  ASSERT_TRUE(adapter) << adapter.error().to_string();
  expect_merged(**adapter, "layers.0.mlp.down_proj.weight", 0, 3.0f);
  expect_merged(**adapter, "layers.1.mlp.down_proj.weight", 1,
                static_cast<float>(6 / std::sqrt(8.0)));
  expect_merged(**adapter, "layers.1.mlp.up_proj.weight", 2,
                static_cast<float>(16 / std::sqrt(8.0)));
}

TEST_F(LoraAdapterTest, NamesOfTextOnlyModelsAndWholeModulesFit) {
  add_pair("layers.0.mlp.up_proj", 8, DType::kF32, 1);
  for (Stored& stored : tensors_) {
    const size_t at = stored.name.find("language_model.");
    ASSERT_NE(at, std::string::npos);
    stored.name.erase(at, std::string("language_model.").size());
  }
  const TensorInfo& norm = tensor("layers.0.input_layernorm.weight");
  tensors_.push_back(
      random_tensor("base_model.model." + norm.stored_name, DType::kF32, norm.shape, 9));
  const auto adapter = open();
  ASSERT_TRUE(adapter) << adapter.error().to_string();
  expect_merged(**adapter, "layers.0.mlp.up_proj.weight", 0, 2.0f);
  ThreadPool pool(1);
  const auto whole = (*adapter)->merged(*source_, norm, pool);
  ASSERT_TRUE(whole);
  EXPECT_EQ(load_le<uint16_t>(whole->bytes().data() + 4), f32_to_bf16(tensors_[2].values[2]));
}

TEST_F(LoraAdapterTest, EmbeddingsAreTransposed) {
  const TensorInfo& embedding = tensor("embed_tokens.weight");
  const uint64_t rows = embedding.shape[0];
  const uint64_t cols = embedding.shape[1];
  const std::string stem =
      "base_model.model." + embedding.stored_name.substr(0, embedding.stored_name.size() - 7);
  tensors_.push_back(random_tensor(stem + ".lora_embedding_A", DType::kF32, {8, rows}, 1));
  tensors_.push_back(random_tensor(stem + ".lora_embedding_B", DType::kF32, {cols, 8}, 2));
  const auto adapter = open();
  ASSERT_TRUE(adapter) << adapter.error().to_string();
  ThreadPool pool(2);
  const auto merged = (*adapter)->merged(*source_, embedding, pool);
  ASSERT_TRUE(merged);
  std::vector<float> row(cols);
  for (const uint64_t r : {uint64_t{0}, uint64_t{17}, rows - 1}) {
    ASSERT_TRUE(source_->read_rows_f32(embedding, r, 1, row));
    for (uint64_t c = 0; c < cols; ++c) {
      float sum = 0.0f;
      for (uint64_t k = 0; k < 8; ++k) {
        const float product = tensors_[0].values[k * rows + r] * tensors_[1].values[c * 8 + k];
        sum = sum + product;
      }
      const float change = 2.0f * sum;
      ASSERT_EQ(load_le<uint16_t>(merged->bytes().data() + 2 * (r * cols + c)),
                f32_to_bf16(row[c] + change));
    }
  }
}

TEST_F(LoraAdapterTest, RefusesWhatASumCannotExpress) {
  add_pair("layers.0.mlp.up_proj", 8, DType::kF32, 1);
  const Json good = config_;
  const std::vector<std::pair<std::string, Json>> wrong = {{"peft_type", "LOKR"},
                                                           {"use_dora", true},
                                                           {"fan_in_fan_out", true},
                                                           {"bias", "lora_only"},
                                                           {"lora_bias", true},
                                                           {"target_parameters", {"experts.w"}},
                                                           {"r", 0},
                                                           {"r", "8"},
                                                           {"lora_alpha", nullptr},
                                                           {"rank_pattern", {{"up_proj", -1}}},
                                                           {"alpha_pattern", {{"(", 2}}}};
  for (const auto& [key, value] : wrong) {
    config_ = good;
    config_[key] = value;
    const Error error = refusal();
    EXPECT_NE(error.code, ErrorCode::kIo) << key << error.to_string();
    EXPECT_FALSE(error.message.empty());
  }
  config_ = good;
  config_["use_dora"] = true;
  EXPECT_THAT(refusal().message, HasSubstr("DoRA"));
}

TEST_F(LoraAdapterTest, ListsWhatBelongsNowhereAndWhatDoesNotFit) {
  add_pair("layers.0.mlp.up_proj", 8, DType::kF32, 1);
  const std::vector<Stored> good = tensors_;
  tensors_.push_back(random_tensor("base_model.model.model.layers.99.mlp.up_proj.lora_A.weight",
                                   DType::kF32, {8, 16}, 3));
  EXPECT_THAT(refusal().message, HasSubstr("model.layers.99.mlp.up_proj"));
  tensors_ = good;
  tensors_.pop_back();  // B is missing
  EXPECT_EQ(refusal().code, ErrorCode::kMismatch);
  tensors_ = good;
  config_["r"] = 4;
  const Error rank = refusal();
  EXPECT_EQ(rank.code, ErrorCode::kMismatch);
  EXPECT_THAT(rank.message, HasSubstr("rank 4"));
  tensors_.clear();
  EXPECT_EQ(refusal().code, ErrorCode::kMismatch);
  EXPECT_EQ(LoraAdapter::open(folder_.path("nowhere"), *source_).error().code,
            ErrorCode::kNotFound);
}

TEST_F(LoraAdapterTest, ReachesKeptAndQuantizedMatricesOfAnOutput) {
  add_pair("layers.0.mlp.up_proj", 8, DType::kBF16, 1);
  add_pair("layers.3.self_attn.o_proj", 8, DType::kBF16, 3);
  write();
  QuantizeJob job = test::nano_job(folder_.path("out"));
  job.recipe = "mlp";
  job.lora = folder_.path();
  std::filesystem::create_directory(folder_.path("sub"));
  job.destination = folder_.path("sub/out");
  test::quantized(job);
  const auto out = Checkpoint::open(job.destination);
  ASSERT_TRUE(out);
  const auto kept = (*out)->plain(*(*out)->find("layers.3.self_attn.o_proj.weight"));
  const auto expected = reference("layers.3.self_attn.o_proj.weight", 1, 2.0f);
  ASSERT_EQ(kept.bytes.size(), expected.size() * 2);
  for (size_t i = 0; i < expected.size(); ++i) {
    ASSERT_EQ(load_le<uint16_t>(kept.bytes.data() + 2 * i), expected[i]);
  }
  const TensorInfo& up = *(*out)->find("layers.0.mlp.up_proj.weight");
  std::vector<float> decoded(up.shape[0] * up.shape[1]);
  ASSERT_TRUE((*out)->read_rows_f32(up, 0, up.shape[0], decoded));
  const auto merged = reference("layers.0.mlp.up_proj.weight", 0, 2.0f);
  double errors = 0.0;
  double squares = 0.0;
  for (size_t i = 0; i < merged.size(); ++i) {
    const double weight = bf16_to_f32(merged[i]);
    errors += (weight - decoded[i]) * (weight - decoded[i]);
    squares += weight * weight;
  }
  EXPECT_LT(errors / squares, 0.015);
}

}  // namespace
}  // namespace nibble
