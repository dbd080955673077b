// A GGUF file of every number type, run: against llama.cpp's logits, and against the same weights
// in a Hugging Face folder.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "checkpoint/tensor_file.h"
#include "checkpoint/value_heads.h"
#include "core/file.h"
#include "engine/engine.h"
#include "tests/test_data.h"

namespace nibble {
namespace {

std::string fixture(const std::string& ending) {
  return test::source_path("tests/dialect_fixtures/gguf-mixed" + ending);
}

std::unique_ptr<Engine> open_engine_at(const std::string& path, bool requires_tokenizer = true) {
  EngineOptions options;
  options.n_threads = 1;
  options.cpu_implementation = test::forced_cpu_implementation;
  options.requires_tokenizer = requires_tokenizer;
  auto engine = Engine::open(path, options);
  EXPECT_TRUE(engine.has_value()) << engine.error().to_string();
  return engine ? std::move(engine).value() : nullptr;
}

std::vector<float> logits_of(Engine& engine, const std::vector<int32_t>& ids) {
  std::vector<float> all;
  const auto keep = [&](size_t, std::span<const float> row) -> Status {
    all.insert(all.end(), row.begin(), row.end());
    return {};
  };
  EXPECT_TRUE(engine.score(ids, 0, keep));
  return all;
}

std::vector<int32_t> fixture_ids(const TensorFile& expected) {
  const TensorView ids = *expected.find("ids");
  std::vector<int32_t> values(ids.shape[0]);
  std::memcpy(values.data(), ids.bytes.data(), ids.bytes.size());
  return values;
}

// The values of a tensor with its value heads grouped.
std::vector<float> grouped_values(const Checkpoint& checkpoint, const TensorInfo& tensor,
                                  const ValueHeads& heads) {
  std::vector<float> values(*n_elements(tensor.shape));
  EXPECT_TRUE(checkpoint.read_rows_f32(tensor, 0, tensor.shape[0], values));
  const ValueHeadPart part = value_head_part(tensor.name);
  if (part == ValueHeadPart::kNone) return values;
  const bool moves_columns = part == ValueHeadPart::kColumns;
  const auto sources = reordered_value_heads(ValueHeadOrder::kTiled, heads, part,
                                             tensor.shape[moves_columns ? 1 : 0]);
  const size_t n_cols = values.size() / tensor.shape[0];
  std::vector<float> moved(values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    const size_t row = i / n_cols;
    const size_t col = i % n_cols;
    moved[i] =
        moves_columns ? values[row * n_cols + sources[col]] : values[sources[row] * n_cols + col];
  }
  return moved;
}

// Writes the checkpoint as a folder of F32 tensors in the order of Hugging Face.
void write_grouped_folder(const Checkpoint& checkpoint, const std::string& folder) {
  Json config = checkpoint.config();
  Json& text = config["text_config"];
  const ValueHeads heads = {text["linear_num_key_heads"], text["linear_num_value_heads"],
                            text["linear_key_head_dim"], text["linear_value_head_dim"]};
  ASSERT_EQ(text["linear_value_head_order"], "tiled");
  text.erase("linear_value_head_order");
  ASSERT_TRUE(write_file_atomically(folder + "/config.json", dump_json(config)));
  std::vector<std::vector<float>> values;
  std::vector<NamedTensor> tensors;
  for (const TensorInfo& tensor : checkpoint.tensors()) {
    values.push_back(grouped_values(checkpoint, tensor, heads));
    tensors.push_back(
        {tensor.name, {DType::kF32, tensor.shape, std::as_bytes(std::span(values.back()))}});
  }
  ASSERT_TRUE(write_tensor_file(folder + "/model.safetensors", tensors));
}

// llama.cpp rounds activations to 8 bits before it multiplies; on random weights that moves logits
// of deviation 2.6 by 0.2. A wrong order of heads moves them by more than 2.
TEST(GgufEngine, AgreesWithLlamaCpp) {
  const auto expected = TensorFile::open(fixture(".expected.safetensors"));
  ASSERT_TRUE(expected);
  const auto engine = open_engine_at(fixture(".gguf"));
  ASSERT_NE(engine, nullptr);
  const std::vector<float> logits = logits_of(*engine, fixture_ids(*expected));
  std::vector<float> theirs(logits.size());
  ASSERT_TRUE(to_f32(*expected->find("logits"), theirs));
  double sum = 0.0;
  for (size_t i = 0; i < logits.size(); ++i) {
    const double difference = static_cast<double>(logits[i]) - static_cast<double>(theirs[i]);
    sum += difference * difference;
  }
  EXPECT_LT(std::sqrt(sum / static_cast<double>(logits.size())), 0.35);
}

TEST(GgufEngine, EqualsTheSameWeightsInAFolder) {
  const auto expected = TensorFile::open(fixture(".expected.safetensors"));
  ASSERT_TRUE(expected);
  const auto engine = open_engine_at(fixture(".gguf"));
  ASSERT_NE(engine, nullptr);
  const test::TemporaryFolder folder;
  write_grouped_folder(engine->checkpoint(), folder.path());
  const auto grouped = open_engine_at(folder.path(), false);
  ASSERT_NE(grouped, nullptr);
  EXPECT_EQ(grouped->config().value_head_order, ValueHeadOrder::kGrouped);
  const std::vector<int32_t> ids = fixture_ids(*expected);
  const std::vector<float> ours = logits_of(*engine, ids);
  const std::vector<float> theirs = logits_of(*grouped, ids);
  ASSERT_EQ(ours.size(), theirs.size());
  for (size_t i = 0; i < ours.size(); ++i) ASSERT_NEAR(ours[i], theirs[i], 2e-3f) << i;
}

TEST(GgufEngine, TakesTokenizerAndSettingsFromTheFile) {
  const auto engine = open_engine_at(fixture(".gguf"));
  ASSERT_NE(engine, nullptr);
  const Tokenizer& tokenizer = engine->tokenizer();
  EXPECT_EQ(tokenizer.size(), 270u);
  const auto ids = tokenizer.encode("the <|im_end|>");
  ASSERT_TRUE(ids);
  const auto t = tokenizer.token_id("t");
  const auto space = tokenizer.token_id("\xc4\xa0");
  const auto end = tokenizer.token_id("<|im_end|>");
  EXPECT_EQ(*ids, (std::vector<int32_t>{t.value(), 269, space.value(), end.value()}));
  EXPECT_EQ(tokenizer.decode(*ids), "the <|im_end|>");
  EXPECT_TRUE(tokenizer.is_special(*end));
  EXPECT_FALSE(tokenizer.is_special(tokenizer.token_id("<think>").value_or(0)));
  const auto stops = engine->stop_tokens();
  EXPECT_NE(std::find(stops.begin(), stops.end(), *end), stops.end());
  EXPECT_EQ(stops.size(), 2u);
  ASSERT_TRUE(engine->chat_template());
  EXPECT_NE(engine->chat_template()->find("<|im_start|>"), std::string::npos);
}

}  // namespace
}  // namespace nibble
