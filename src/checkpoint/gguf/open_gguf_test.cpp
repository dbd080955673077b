// GGUF files as checkpoints: what real tools wrote, and what is refused.
#include "checkpoint/gguf/open_gguf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <set>

#include "checkpoint/checkpoint.h"
#include "checkpoint/gguf/names.h"
#include "checkpoint/side_files.h"
#include "checkpoint/tensor_file.h"
#include "checkpoint/testing/tiny_gguf.h"
#include "tests/test_data.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;
using test::TinyGguf;
using testing::HasSubstr;

std::shared_ptr<const Checkpoint> open_or_fail(const std::string& path) {
  auto opened = Checkpoint::open(path);
  EXPECT_TRUE(opened) << opened.error().to_string();
  return opened ? *opened : nullptr;
}

std::vector<float> values_of(const Checkpoint& checkpoint, const std::string& name) {
  const TensorInfo* tensor = checkpoint.find(name);
  EXPECT_NE(tensor, nullptr) << name;
  if (tensor == nullptr) return {};
  std::vector<float> values(*n_elements(tensor->shape));
  EXPECT_TRUE(checkpoint.read_rows_f32(*tensor, 0, tensor->shape[0], values));
  return values;
}

// The last row of every matrix of a file that holds each number type, as gguf-py decodes it.
TEST(OpenGguf, DecodesWhatGgmlEncoded) {
  const auto opened = open_or_fail(test::source_path("tests/dialect_fixtures/gguf-mixed.gguf"));
  ASSERT_NE(opened, nullptr);
  EXPECT_EQ(opened->dialect(), "gguf");
  const auto expected =
      TensorFile::open(test::source_path("tests/dialect_fixtures/gguf-mixed.expected.safetensors"));
  ASSERT_TRUE(expected);
  std::set<std::string_view> kinds;
  size_t n_compared = 0;
  for (const std::string& name : expected->names()) {
    if (!name.starts_with("row.")) continue;
    const auto placed = place_gguf_name(name.substr(4));
    ASSERT_TRUE(placed) << name;
    const TensorInfo* tensor = opened->find(placed->canonical_name(4));
    ASSERT_NE(tensor, nullptr) << name;
    kinds.insert(storage_name(*tensor));
    std::vector<float> row(tensor->shape[1]);
    std::vector<float> reference(row.size());
    ASSERT_TRUE(opened->read_rows_f32(*tensor, tensor->shape[0] - 1, 1, row));
    ASSERT_TRUE(to_f32(*expected->find(name), reference));
    for (size_t i = 0; i < row.size(); ++i) {
      ASSERT_NEAR(row[i], reference[i], std::abs(reference[i]) * 1e-6f + 1e-9f) << name << i;
    }
    ++n_compared;
  }
  EXPECT_EQ(n_compared, 33u);
  EXPECT_THAT(kinds, testing::UnorderedElementsAre("BF16", "F16", "NVFP4", "Q4_0", "Q4_K", "Q5_K",
                                                   "Q6_K", "Q8_0"));
}

// The seeds of the fuzzer are files that broke other readers.
TEST(OpenGguf, RefusesFilesThatBrokeOthers) {
  std::set<std::string> opened;
  for (const auto& seed : fs::directory_iterator(test::source_path("tests/fuzz/seeds/gguf_fuzz"))) {
    const auto checkpoint = Checkpoint::open(seed.path().string());
    const std::string name = seed.path().filename().string();
    if (!checkpoint) {
      EXPECT_LT(checkpoint.error().message.size(), 2000u) << name;
      continue;
    }
    opened.insert(name);
    (void)(*checkpoint)->side_file("tokenizer.json");
  }
  EXPECT_THAT(opened, testing::UnorderedElementsAre("model", "experts", "token_id_out_of_range",
                                                    "cve_2025_49847_long_token"));
}

class OpenGgufTest : public testing::Test {
 protected:
  std::string path(const std::string& name = "model.gguf") const { return folder_.path(name); }
  std::shared_ptr<const Checkpoint> opened() {
    file_.write(path());
    return open_or_fail(path());
  }
  void expect_error(ErrorCode code, const std::string& says,
                    const std::function<void(TinyGguf&)>& change) {
    TinyGguf changed;
    change(changed);
    changed.write(path());
    const auto opened = Checkpoint::open(path());
    ASSERT_FALSE(opened) << says;
    EXPECT_EQ(opened.error().code, code) << opened.error().to_string();
    EXPECT_THAT(opened.error().to_string(), HasSubstr(says));
    EXPECT_LT(opened.error().message.size(), 2000u);
  }

  TinyGguf file_;
  test::TemporaryFolder folder_;
};

TEST_F(OpenGgufTest, GivesCanonicalNamesAndValues) {
  const auto checkpoint = opened();
  ASSERT_NE(checkpoint, nullptr);
  EXPECT_EQ(checkpoint->tensors().size(), file_.n_tensors());
  EXPECT_EQ(values_of(*checkpoint, "norm.weight")[63], 0.25f);
  EXPECT_EQ(values_of(*checkpoint, "layers.0.input_layernorm.weight")[0], -0.5f);
  EXPECT_FLOAT_EQ(values_of(*checkpoint, "layers.0.linear_attn.A_log")[3], std::log(2.0f));
  EXPECT_EQ(values_of(*checkpoint, "layers.0.linear_attn.norm.weight")[0], 0.75f);
  EXPECT_EQ(checkpoint->find("layers.0.linear_attn.conv1d.weight")->shape, (Shape{24, 1, 4}));
  EXPECT_EQ(values_of(*checkpoint, "mtp.pre_fc_norm_embedding.weight")[0], 2.0f);
  EXPECT_EQ(values_of(*checkpoint, "mtp.layers.0.self_attn.q_norm.weight")[7], 3.0f);
  EXPECT_EQ(checkpoint->find("layers.1.self_attn.q_proj.weight")->stored_name,
            "blk.1.attn_q.weight");
  EXPECT_TRUE(checkpoint->intact());
  for (const TensorInfo& tensor : checkpoint->tensors()) checkpoint->release(tensor);
}

TEST_F(OpenGgufTest, MakesAConfig) {
  const auto checkpoint = opened();
  ASSERT_NE(checkpoint, nullptr);
  const Json& config = checkpoint->config();
  EXPECT_EQ(config["architectures"], Json::array({"Qwen3_5ForConditionalGeneration"}));
  EXPECT_EQ(config["model_type"], "qwen3_5");
  EXPECT_EQ(config["tie_word_embeddings"], true);
  const Json& text = config["text_config"];
  EXPECT_EQ(text["num_hidden_layers"], 2);
  EXPECT_EQ(text["mtp_num_hidden_layers"], 1);
  EXPECT_EQ(text["layer_types"], Json::array({"linear_attention", "full_attention"}));
  EXPECT_EQ(text["linear_value_head_dim"], 2);
  EXPECT_EQ(text["linear_value_head_order"], "tiled");
  EXPECT_EQ(text["rope_parameters"]["partial_rotary_factor"], 0.5);
  EXPECT_EQ(text["rope_parameters"]["rope_theta"], 1e7);
  EXPECT_EQ(text["rms_norm_eps"], 1e-6);
  EXPECT_EQ(text["vocab_size"], 6);

  file_.floats("output.weight", {6, 64}, 1.0f);
  file_.remove("blk.0.attn_qkv.weight");
  file_.set("qwen35.attention.recurrent_layers", GgufArray(std::vector<bool>{false, true, false}));
  file_.set("qwen35.attention.head_count_kv", GgufArray(std::vector<uint32_t>{0, 1, 1}));
  const auto other = opened();
  ASSERT_NE(other, nullptr);
  EXPECT_EQ(other->config()["tie_word_embeddings"], false);
  EXPECT_EQ(other->config()["text_config"]["layer_types"],
            Json::array({"full_attention", "linear_attention"}));
  EXPECT_EQ(other->config()["text_config"]["num_key_value_heads"], 1);
}

TEST_F(OpenGgufTest, CutsFusedAttention) {
  file_.remove("blk.1.attn_q.weight");
  file_.floats("blk.1.attn_qkv.weight", {48, 64}, 1.0f);
  const auto checkpoint = opened();
  ASSERT_NE(checkpoint, nullptr);
  EXPECT_EQ(checkpoint->find("layers.1.self_attn.q_proj.weight")->shape, (Shape{32, 64}));
  EXPECT_EQ(checkpoint->find("layers.1.self_attn.v_proj.weight")->shape, (Shape{8, 64}));
  EXPECT_NE(checkpoint->find("layers.0.linear_attn.in_proj_qkv.weight"), nullptr);
}

TEST_F(OpenGgufTest, CutsExperts) {
  file_ = TinyGguf();
  file_.set("general.architecture", std::string("qwen35moe"));
  const auto sizes = {"block_count",          "embedding_length",        "context_length",
                      "attention.head_count", "attention.head_count_kv", "attention.key_length",
                      "ssm.conv_kernel",      "ssm.state_size",          "ssm.group_count",
                      "ssm.time_step_rank",   "ssm.inner_size",          "rope.dimension_count"};
  const uint32_t values[] = {1, 64, 64, 2, 1, 8, 4, 4, 2, 4, 8, 4};
  size_t i = 0;
  for (const char* size : sizes) file_.set(std::string("qwen35moe.") + size, values[i++]);
  file_.set("qwen35moe.expert_count", uint32_t{3});
  file_.set("qwen35moe.expert_used_count", uint32_t{2});
  file_.set("qwen35moe.expert_feed_forward_length", uint32_t{16});
  file_.set("qwen35moe.expert_shared_feed_forward_length", uint32_t{16});
  file_.set("qwen35moe.rope.freq_base", 1e7f);
  file_.set("qwen35moe.attention.layer_norm_rms_epsilon", 1e-6f);
  file_.floats("blk.0.ffn_gate_up_exps.weight", {3, 32, 64}, 1.0f);
  file_.floats("blk.0.ffn_gate_inp_shexp.weight", {64}, 1.0f);
  // One block of 64 values an expert and row: scale bytes 0x38 are 1, codes 0x22 are 1.
  std::vector<std::byte> blocks(size_t{3} * 64 * 36, std::byte{0x22});
  for (size_t b = 0; b < blocks.size(); b += 36)
    std::fill_n(blocks.begin() + ptrdiff_t(b), 4, std::byte{0x38});
  file_.tensor("blk.0.ffn_down_exps.weight", GgufType::kNvfp4, {3, 64, 64}, blocks);
  file_.floats("blk.0.ffn_down_exps.scale", {3}, 0.5f);
  const auto checkpoint = opened();
  ASSERT_NE(checkpoint, nullptr);
  EXPECT_EQ(checkpoint->config()["text_config"]["num_experts"], 3);
  EXPECT_EQ(checkpoint->find("layers.0.mlp.experts.2.up_proj.weight")->shape, (Shape{16, 64}));
  EXPECT_EQ(checkpoint->find("layers.0.mlp.shared_expert_gate.weight")->shape, (Shape{1, 64}));
  EXPECT_EQ(values_of(*checkpoint, "layers.0.mlp.experts.1.down_proj.weight")[100], 0.5f);
  file_.set("qwen35moe.expert_count", uint32_t{4});
  file_.write(path());
  EXPECT_THAT(Checkpoint::open(path()).error().message, HasSubstr("should stack 4 experts"));
}

TEST_F(OpenGgufTest, RefusesImpossibleMetadata) {
  const auto set = [](const std::string& key, GgufValue value) {
    return [=](TinyGguf& file) { file.set(key, value); };
  };
  expect_error(ErrorCode::kUnsupportedArchitecture, "\"llama\"",
               set("general.architecture", std::string("llama")));
  expect_error(ErrorCode::kUnsupportedArchitecture, "vision tower",
               set("general.architecture", std::string("clip")));
  expect_error(ErrorCode::kCorrupt, "not a text", set("general.architecture", uint32_t{5}));
  expect_error(ErrorCode::kCorrupt, "no metadata field \"qwen35.embedding_length\"",
               [](TinyGguf& file) { file.erase("qwen35.embedding_length"); });
  expect_error(ErrorCode::kCorrupt, "an integer of at least 0",
               set("qwen35.ssm.state_size", int32_t{-4}));
  expect_error(ErrorCode::kCorrupt, "blocks", set("qwen35.block_count", uint32_t{1}));
  expect_error(ErrorCode::kCorrupt, "at most", set("qwen35.block_count", uint32_t{0xffffffff}));
  expect_error(ErrorCode::kCorrupt, "whole groups", set("qwen35.ssm.time_step_rank", uint32_t{3}));
  expect_error(ErrorCode::kCorrupt, "whole groups", set("qwen35.ssm.group_count", uint32_t{0}));
  expect_error(ErrorCode::kCorrupt, "head_count is 0",
               set("qwen35.attention.head_count", uint32_t{0}));
  expect_error(ErrorCode::kCorrupt, "key_length is 0",
               set("qwen35.attention.key_length", uint32_t{0}));
  expect_error(ErrorCode::kCorrupt, "interval is 0",
               set("qwen35.full_attention_interval", uint32_t{0}));
  expect_error(ErrorCode::kCorrupt, "2 entries for 3 blocks", [](TinyGguf& file) {
    file.set("qwen35.nextn_predict_layers", uint32_t{0});
    file.set("qwen35.attention.recurrent_layers", GgufArray(std::vector<bool>{true, false}));
  });
  expect_error(ErrorCode::kUnsupported, "differs from block to block",
               set("qwen35.attention.head_count", GgufArray(std::vector<uint32_t>{2, 4, 2})));
  expect_error(ErrorCode::kCorrupt, "no tensor \"token_embd.weight\"",
               [](TinyGguf& file) { file.remove("token_embd.weight"); });
}

TEST_F(OpenGgufTest, RefusesTensorsThatDoNotFit) {
  const auto floats = [](const std::string& name, const Shape& shape, float value) {
    return [=](TinyGguf& file) { file.floats(name, shape, value); };
  };
  expect_error(ErrorCode::kCorrupt, "expected numbers below 0", floats("blk.0.ssm_a", {4}, 0.5f));
  expect_error(ErrorCode::kCorrupt, "expected 1, because only NVFP4",
               floats("blk.1.attn_q.scale", {1}, 0.5f));
  expect_error(ErrorCode::kCorrupt, "1 F32 scales", floats("blk.1.attn_q.scale", {2}, 1.0f));
  expect_error(ErrorCode::kCorrupt, "48 rows", floats("blk.1.attn_qkv.weight", {47, 64}, 1.0f));
  expect_error(ErrorCode::kCorrupt, "should be a matrix", floats("blk.1.attn_qkv.weight", {48}, 1));
  for (const float scale : {0.0f, -1.0f, INFINITY, NAN}) {
    expect_error(ErrorCode::kCorrupt, "a finite number above 0", [=](TinyGguf& file) {
      file.tensor("blk.0.ffn_up.weight", GgufType::kNvfp4, {1, 64}, std::vector<std::byte>(36));
      file.floats("blk.0.ffn_up.scale", {1}, scale);
    });
  }
}

TEST_F(OpenGgufTest, LeavesWhatItDoesNotKnowToTheModel) {
  file_.floats("rope_freqs.weight", {4}, 1.0f);
  file_.floats("blk.9.ffn_up.weight", {1, 64}, 1.0f);
  file_.floats("blk.2.nextn.shared_head_head.weight", {6, 64}, 1.0f);
  const auto checkpoint = opened();
  ASSERT_NE(checkpoint, nullptr);
  EXPECT_NE(checkpoint->find("rope_freqs.weight"), nullptr);
  EXPECT_NE(checkpoint->find("blk.9.ffn_up.weight"), nullptr);
  EXPECT_NE(checkpoint->find("mtp.shared_head_head.weight"), nullptr);
}

TEST_F(OpenGgufTest, MakesSideFiles) {
  const auto checkpoint = opened();
  ASSERT_NE(checkpoint, nullptr);
  EXPECT_EQ(*checkpoint->side_file("chat_template.jinja"), "{{ messages }}");
  const auto tokenizer = parse_json(*checkpoint->side_file("tokenizer.json"), "tokenizer.json");
  ASSERT_TRUE(tokenizer) << tokenizer.error().to_string();
  EXPECT_EQ((*tokenizer)["model"]["vocab"], (Json{{"a", 0}, {"b", 1}, {"ab", 2}}));
  EXPECT_EQ((*tokenizer)["model"]["merges"], Json::array({"a b"}));
  ASSERT_EQ((*tokenizer)["added_tokens"].size(), 2u);
  EXPECT_EQ((*tokenizer)["added_tokens"][0]["special"], true);
  EXPECT_EQ((*tokenizer)["added_tokens"][1]["content"], "<think>");
  EXPECT_EQ((*tokenizer)["added_tokens"][1]["special"], false);
  const auto settings = parse_json(*read_side_file(path(), "tokenizer_config.json"), "settings");
  ASSERT_TRUE(settings);
  EXPECT_EQ((*settings)["eos_token"], "<|im_end|>");
  EXPECT_EQ((*settings)["pad_token"], nullptr);
  const auto generation = parse_json(*checkpoint->side_file("generation_config.json"), "g");
  ASSERT_TRUE(generation);
  EXPECT_EQ(*generation, (Json{{"eos_token_id", {3}}}));
  EXPECT_EQ(checkpoint->side_file("vocab.json").error().code, ErrorCode::kNotFound);
}

TEST_F(OpenGgufTest, RefusesTokenizersThatItCannotMake) {
  const auto error_after = [&](const std::string& key, GgufValue value) {
    TinyGguf changed;
    changed.set(key, std::move(value));
    changed.write(path());
    const auto json = read_side_file(path(), "tokenizer.json");
    return json ? Error(ErrorCode::kCancelled, "none") : json.error();
  };
  EXPECT_EQ(error_after("tokenizer.ggml.model", std::string("llama")).code,
            ErrorCode::kUnsupported);
  EXPECT_EQ(error_after("tokenizer.ggml.model", std::string("no_vocab")).code,
            ErrorCode::kNotFound);
  EXPECT_EQ(error_after("tokenizer.ggml.pre", std::string("gpt-2")).code, ErrorCode::kUnsupported);
  EXPECT_EQ(error_after("tokenizer.ggml.tokens", std::string("x")).code, ErrorCode::kCorrupt);
  EXPECT_EQ(error_after("tokenizer.ggml.token_type", GgufArray(std::vector<int32_t>{1})).code,
            ErrorCode::kCorrupt);
  EXPECT_EQ(
      error_after("tokenizer.ggml.token_type", GgufArray(std::vector<int32_t>{1, 1, 1, 9, 1, 1}))
          .code,
      ErrorCode::kCorrupt);
  TinyGguf far;
  far.set("tokenizer.ggml.eos_token_id", uint32_t{6});
  far.write(path());
  EXPECT_THAT(read_side_file(path(), "tokenizer_config.json").error().message,
              HasSubstr("only 6 tokens"));
}

TEST_F(OpenGgufTest, JoinsSplitModels) {
  const size_t n_tensors = file_.n_tensors();
  const auto write_part = [&](uint16_t part, size_t first, size_t n, const std::string& name) {
    TinyGguf cut;
    cut.set("split.no", part);
    cut.set("split.count", uint16_t{2});
    cut.set("split.tensors.count", static_cast<int32_t>(n_tensors));
    cut.keep_tensors(first, n);
    cut.write(path(name));
  };
  write_part(0, 0, 4, "m-00001-of-00002.gguf");
  EXPECT_EQ(Checkpoint::open(path("m-00001-of-00002.gguf")).error().code, ErrorCode::kNotFound);
  write_part(1, 4, n_tensors - 4, "m-00002-of-00002.gguf");
  const auto whole = open_or_fail(folder_.path());
  ASSERT_NE(whole, nullptr);
  EXPECT_EQ(whole->tensors().size(), n_tensors);
  EXPECT_EQ(values_of(*whole, "layers.1.self_attn.q_proj.weight")[0], 2.0f);
  for (const TensorInfo& tensor : whole->tensors()) whole->release(tensor);

  const auto later = Checkpoint::open(path("m-00002-of-00002.gguf"));
  ASSERT_FALSE(later);
  EXPECT_THAT(later.error().message, HasSubstr("m-00001-of-00002.gguf"));
  write_part(1, 4, n_tensors - 5, "m-00002-of-00002.gguf");
  EXPECT_THAT(Checkpoint::open(folder_.path()).error().message, HasSubstr("announces"));
  write_part(1, 3, n_tensors - 4, "m-00002-of-00002.gguf");
  EXPECT_THAT(Checkpoint::open(folder_.path()).error().message, HasSubstr("stands in two files"));
  write_part(0, 4, n_tensors - 4, "m-00002-of-00002.gguf");
  EXPECT_EQ(Checkpoint::open(folder_.path()).error().code, ErrorCode::kCorrupt);
  fs::rename(path("m-00001-of-00002.gguf"), path("renamed.gguf"));
  EXPECT_EQ(Checkpoint::open(path("renamed.gguf")).error().code, ErrorCode::kInvalidArgument);
}

TEST_F(OpenGgufTest, FindsTheModelOfAFolder) {
  file_.write(path());
  file_.write(path("mmproj-model.gguf"));
  EXPECT_EQ(open_or_fail(folder_.path())->folder(), path());
  fs::copy_file(path(), path("without_ending"));
  EXPECT_TRUE(*is_gguf_model(path("without_ending")));
  EXPECT_NE(open_or_fail(path("without_ending")), nullptr);
  file_.write(path("other.gguf"));
  const auto several = Checkpoint::open(folder_.path());
  ASSERT_FALSE(several);
  EXPECT_EQ(several.error().code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(several.error().message, HasSubstr("model.gguf, other.gguf"));
  std::ofstream(path("model.safetensors")) << "x";
  EXPECT_FALSE(*is_gguf_model(folder_.path()));
  EXPECT_FALSE(*is_gguf_model(path("nothing")));
}

TEST_F(OpenGgufTest, NoticesAFileThatShrinks) {
  const auto checkpoint = opened();
  ASSERT_NE(checkpoint, nullptr);
  fs::resize_file(path(), 4096);
  values_of(*checkpoint, "layers.1.self_attn.q_proj.weight");
  EXPECT_EQ(checkpoint->intact().error().code, ErrorCode::kIo);
}

}  // namespace
}  // namespace nibble
