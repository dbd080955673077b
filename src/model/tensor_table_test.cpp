// The declared tensors, their roles and groups, and the comparison with a checkpoint.
#include "model/tensor_table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "model/model_test_fixture.h"

namespace nibble {
namespace {

ModelConfig nano_config() {
  const std::string path = test::source_path("models/nano/config.json");
  return parse_model_config(read_json_file(path).value(), path).value();
}

std::shared_ptr<const Checkpoint> nano() {
  return Checkpoint::open(test::source_path("models/nano")).value();
}

TEST(TensorTable, ListsTheBundledModel) {
  const auto table = tensor_table(nano_config());
  EXPECT_EQ(table.size(), 6u * 14u + 2u * 11u + 3u);
  EXPECT_EQ(std::count_if(table.begin(), table.end(),
                          [](const TensorSpec& spec) { return spec.is_linear; }),
            62);
  std::set<std::string> names;
  std::map<std::string, int> groups;
  for (const TensorSpec& spec : table) {
    EXPECT_TRUE(names.insert(spec.name).second) << spec.name;
    if (spec.fused_group.empty()) continue;
    ++groups[spec.fused_group];
    EXPECT_TRUE(spec.is_linear) << spec.name;
  }
  EXPECT_EQ(groups.size(), 6u * 2u + 2u + 8u);
  EXPECT_EQ(groups["layers.3.self_attn.qkv"], 3);
  EXPECT_EQ(groups["layers.3.mlp.gate_up"], 2);
  EXPECT_EQ(groups["layers.0.linear_attn.qkvz"], 2);
  EXPECT_EQ(groups["layers.0.linear_attn.ba"], 2);
  EXPECT_EQ(table.front().role, TensorRole::kEmbedding);
  EXPECT_EQ(table.back().role, TensorRole::kHead);
  EXPECT_FALSE(table.back().is_linear);
}

// The published 9B: 427 tensors with 8,953,803,264 elements, 248 linears with 6,918,504,448.
TEST(TensorTable, AddsUpToThePublishedSizes) {
  ModelConfig config = nano_config();
  config.hidden_size = 4096;
  config.intermediate_size = 12288;
  config.vocab_size = 248320;
  config.n_layers = 32;
  config.layer_kinds.assign(32, LayerKind::kLinearAttention);
  for (size_t i = 3; i < 32; i += 4) config.layer_kinds[i] = LayerKind::kFullAttention;
  config.n_heads = 16;
  config.n_kv_heads = 4;
  config.linear_n_key_heads = 16;
  config.linear_n_value_heads = 32;
  uint64_t n_all = 0;
  uint64_t n_linear = 0;
  const auto table = tensor_table(config);
  for (const TensorSpec& spec : table) {
    n_all += n_elements(spec.shape).value();
    if (spec.is_linear) n_linear += n_elements(spec.shape).value();
  }
  EXPECT_EQ(table.size(), 427u);
  EXPECT_EQ(n_all, 8'953'803'264u);
  EXPECT_EQ(n_linear, 6'918'504'448u);
}

TEST(TensorTable, ListsExpertsAsMatrices) {
  ModelConfig config = nano_config();
  const size_t n_dense = tensor_table(config).size();
  config.n_experts = 8;
  config.n_experts_per_token = 2;
  config.expert_intermediate_size = 32;
  config.shared_expert_intermediate_size = 48;
  // The router, the experts, the shared expert and its gate instead of an MLP in each of 8 layers.
  EXPECT_EQ(tensor_table(config).size() - n_dense, 8u * (1 + 8 * 3 + 3 + 1 - 3));
  const TensorRoles roles(config);
  EXPECT_EQ(roles.find("layers.1.mlp.experts.gate_up_proj"), nullptr);
  const TensorSpec* one = roles.find("layers.1.mlp.experts.7.up_proj.weight");
  ASSERT_NE(one, nullptr);
  EXPECT_TRUE(one->is_linear);
  EXPECT_EQ(one->role, TensorRole::kExpertInput);
  EXPECT_EQ(one->shape, (Shape{32, 256}));
  EXPECT_EQ(one->fused_group, "layers.1.mlp.experts.7.gate_up");
  EXPECT_EQ(roles.find("layers.1.mlp.shared_expert.up_proj.weight")->fused_group,
            "layers.1.mlp.shared_expert.gate_up");
  EXPECT_EQ(roles.role_of("layers.1.mlp.gate.weight"), TensorRole::kRouter);
  EXPECT_EQ(roles.role_of("layers.1.mlp.shared_expert_gate.weight"), TensorRole::kRouter);
  EXPECT_EQ(roles.find("layers.1.mlp.gate_proj.weight"), nullptr);
}

TEST(TensorTable, LeavesOutTheHeadOfTiedModels) {
  ModelConfig config = nano_config();
  config.tie_word_embeddings = true;
  const auto table = tensor_table(config);
  EXPECT_EQ(table.back().name, "norm.weight");
  EXPECT_EQ(TensorRoles(config).role_of("lm_head.weight"), TensorRole::kHead);
}

TEST(TensorRoles, KnowsEveryTensorOfTheBundledModel) {
  const TensorRoles roles(nano_config());
  const auto checkpoint = nano();
  for (const TensorInfo& tensor : checkpoint->tensors()) {
    EXPECT_TRUE(roles.role_of(tensor.name).has_value()) << tensor.name;
  }
  EXPECT_EQ(roles.role_of("mtp.fc.weight"), TensorRole::kMtp);
  EXPECT_EQ(roles.role_of("visual.blocks.0.norm1.weight"), TensorRole::kVision);
  EXPECT_EQ(roles.role_of("layers.3.self_attn.k_scale"), TensorRole::kCacheScale);
  EXPECT_EQ(roles.role_of("layers.0.linear_attn.in_proj_a.weight"), TensorRole::kDeltaGate);
  EXPECT_EQ(roles.role_of("layers.99.mlp.up_proj.weight"), std::nullopt);
  EXPECT_EQ(roles.role_of(""), std::nullopt);
}

TEST(TensorRoles, HaveDistinctNames) {
  std::set<std::string_view> names;
  for (int role = 0; role <= static_cast<int>(TensorRole::kCacheScale); ++role) {
    EXPECT_TRUE(names.insert(role_name(static_cast<TensorRole>(role))).second);
  }
}

TEST(CheckTensors, AcceptsTheBundledModel) {
  const Status status = check_tensors(*nano(), nano_config());
  EXPECT_TRUE(status.has_value()) << status.error().message;
}

TEST(CheckTensors, ReportsAllProblemsTogether) {
  test::EditableCheckpoint edit(test::source_path("tests/data/model/micro_r3"));
  const std::string prefix = "model.language_model.";
  edit.tensors.erase(prefix + "layers.0.mlp.up_proj.weight");
  edit.tensors[prefix + "norm.weight"] = Tensor::zeros(DType::kBF16, {65}).value();
  edit.tensors[prefix + "layers.0.mlp.bias"] = Tensor::zeros(DType::kBF16, {3}).value();
  const test::TemporaryFolder folder;
  edit.write(folder.path());
  const auto checkpoint = Checkpoint::open(folder.path()).value();
  const auto config = parse_model_config(checkpoint->config(), "config.json").value();
  const Status status = check_tensors(*checkpoint, config);
  ASSERT_FALSE(status.has_value());
  EXPECT_EQ(status.error().code, ErrorCode::kMismatch);
  const std::string& message = status.error().message;
  EXPECT_NE(message.find("3 problems"), std::string::npos) << message;
  EXPECT_NE(message.find("missing: layers.0.mlp.up_proj.weight [64, 64]"), std::string::npos);
  EXPECT_NE(message.find("norm.weight is [65], expected [64]"), std::string::npos);
  EXPECT_NE(message.find("not part of the model: layers.0.mlp.bias [3]"), std::string::npos);
}

TEST(CheckTensors, CutsLongLists) {
  ModelConfig config = nano_config();
  config.hidden_size = 512;
  const Status status = check_tensors(*nano(), config);
  ASSERT_FALSE(status.has_value());
  const std::string& message = status.error().message;
  EXPECT_EQ(std::count(message.begin(), message.end(), '\n'), 21);
  EXPECT_NE(message.find(" more"), std::string::npos);
}

TEST(CheckTensors, DoesNotNeedMtpOrVision) {
  test::EditableCheckpoint edit(test::source_path("tests/data/model/micro_r3"));
  for (auto entry = edit.tensors.begin(); entry != edit.tensors.end();) {
    const bool is_vision = entry->first.find("visual") != std::string::npos;
    entry = is_vision ? edit.tensors.erase(entry) : std::next(entry);
  }
  const test::TemporaryFolder folder;
  edit.write(folder.path());
  const auto checkpoint = Checkpoint::open(folder.path()).value();
  const auto config = parse_model_config(checkpoint->config(), "config.json").value();
  EXPECT_TRUE(check_tensors(*checkpoint, config).has_value());
}

}  // namespace
}  // namespace nibble
