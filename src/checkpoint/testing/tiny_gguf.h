// GGUF files made by tests: a model of one DeltaNet and one attention layer, to be changed or
// broken before it is written.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "formats/gguf.h"

namespace nibble::test {

/// Fields and tensors of a file under construction.
class TinyGguf {
 public:
  /// Two key heads of 4, four value heads of 2, hidden size 64, a prediction layer.
  TinyGguf() {
    set("general.architecture", std::string("qwen35"));
    const std::pair<const char*, uint32_t> sizes[] = {{"block_count", 3},
                                                      {"nextn_predict_layers", 1},
                                                      {"embedding_length", 64},
                                                      {"feed_forward_length", 128},
                                                      {"context_length", 4096},
                                                      {"attention.head_count", 2},
                                                      {"attention.head_count_kv", 1},
                                                      {"attention.key_length", 8},
                                                      {"attention.value_length", 8},
                                                      {"full_attention_interval", 2},
                                                      {"rope.dimension_count", 4},
                                                      {"ssm.conv_kernel", 4},
                                                      {"ssm.state_size", 4},
                                                      {"ssm.group_count", 2},
                                                      {"ssm.time_step_rank", 4},
                                                      {"ssm.inner_size", 8}};
    for (const auto& [key, value] : sizes) set(std::string("qwen35.") + key, value);
    set("qwen35.attention.layer_norm_rms_epsilon", 1e-6f);
    set("qwen35.rope.freq_base", 1e7f);
    set("tokenizer.ggml.model", std::string("gpt2"));
    set("tokenizer.ggml.pre", std::string("qwen35"));
    set("tokenizer.ggml.tokens",
        GgufArray(std::vector<std::string>{"a", "b", "ab", "<|im_end|>", "<think>", "[PAD5]"}));
    set("tokenizer.ggml.token_type", GgufArray(std::vector<int32_t>{1, 1, 1, 3, 4, 5}));
    set("tokenizer.ggml.merges", GgufArray(std::vector<std::string>{"a b"}));
    set("tokenizer.ggml.eos_token_id", uint32_t{3});
    set("tokenizer.chat_template", std::string("{{ messages }}"));
    floats("token_embd.weight", {6, 64}, 0.5f);
    floats("output_norm.weight", {64}, 1.25f);
    floats("blk.0.attn_norm.weight", {64}, 0.5f);
    floats("blk.0.ssm_a", {4}, -2.0f);
    floats("blk.0.ssm_conv1d.weight", {24, 4}, 0.25f);
    floats("blk.0.ssm_norm.weight", {2}, 0.75f);
    floats("blk.0.attn_qkv.weight", {24, 64}, 1.0f);
    floats("blk.1.attn_q.weight", {32, 64}, 2.0f);
    floats("blk.2.nextn.enorm.weight", {64}, 3.0f);
    floats("blk.2.attn_q_norm.weight", {8}, 4.0f);
  }

  void set(const std::string& key, GgufValue value) {
    for (GgufField& field : fields_) {
      if (field.key == key) {
        field.value = std::move(value);
        return;
      }
    }
    fields_.push_back({key, std::move(value)});
  }
  void erase(const std::string& key) {
    std::erase_if(fields_, [&](const GgufField& field) { return field.key == key; });
  }

  /// Every element the same.
  void floats(const std::string& name, Shape shape, float value) {
    std::vector<float> values(*n_elements(shape), value);
    std::vector<std::byte> bytes(values.size() * sizeof(float));
    std::memcpy(bytes.data(), values.data(), bytes.size());
    tensor(name, GgufType::kF32, std::move(shape), std::move(bytes));
  }
  void tensor(const std::string& name, GgufType type, Shape shape, std::vector<std::byte> bytes) {
    remove(name);
    tensors_.push_back({{name, type, std::move(shape), 0, 0}, std::move(bytes)});
  }
  void remove(const std::string& name) {
    std::erase_if(tensors_, [&](const auto& held) { return held.first.name == name; });
  }
  void keep_tensors(size_t first, size_t n) {
    const auto begin = tensors_.begin() + static_cast<ptrdiff_t>(first);
    tensors_ = {begin, begin + static_cast<ptrdiff_t>(n)};
  }
  size_t n_tensors() const { return tensors_.size(); }

  void write(const std::string& path) const {
    std::vector<GgufTensor> declared;
    for (const auto& held : tensors_) declared.push_back(held.first);
    auto writer = GgufWriter::create(path, fields_, declared);
    ASSERT_TRUE(writer) << writer.error().to_string();
    for (const auto& held : tensors_) ASSERT_TRUE(writer->write(held.second));
    ASSERT_TRUE(writer->finish());
  }

 private:
  std::vector<GgufField> fields_;
  std::vector<std::pair<GgufTensor, std::vector<std::byte>>> tensors_;
};

}  // namespace nibble::test
