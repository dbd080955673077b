// Stacks of experts become matrices: names, bytes, and what is left alone.
#include "checkpoint/storage/expert_stack.h"

#include <gtest/gtest.h>

#include <cstring>
#include <numeric>

#include "checkpoint/testing/tiny_checkpoint.h"
#include "tests/test_data.h"

namespace nibble {
namespace {

TensorInfo stack(const std::string& name, Shape shape) {
  TensorInfo info;
  info.stored_name = name;
  info.dtype = DType::kBF16;
  info.n_bytes = n_elements(shape).value() * 2;
  info.shape = std::move(shape);
  return info;
}

TEST(ExpertStack, NamesGateAndUpOfEachExpert) {
  const auto slices =
      expert_slices(stack("model.language_model.layers.12.mlp.experts.gate_up_proj", {3, 8, 5}),
                    kMaxExpertSlices);
  ASSERT_EQ(slices.size(), 6u);
  EXPECT_EQ(slices[0].stored_name, "model.language_model.layers.12.mlp.experts.0.gate_proj.weight");
  EXPECT_EQ(slices[5].stored_name, "model.language_model.layers.12.mlp.experts.2.up_proj.weight");
  for (size_t i = 0; i < slices.size(); ++i) {
    EXPECT_EQ(slices[i].first_row, i * 4);
    EXPECT_EQ(slices[i].n_rows, 4u);
  }
  const auto down = expert_slices(stack("layers.0.mlp.experts.down_proj", {3, 8, 5}), 3);
  ASSERT_EQ(down.size(), 3u);
  EXPECT_EQ(down[2].stored_name, "layers.0.mlp.experts.2.down_proj.weight");
  EXPECT_EQ(down[2].first_row, 16u);
  EXPECT_EQ(down[2].n_rows, 8u);
}

TEST(ExpertStack, LeavesEverythingElseWhole) {
  const std::string name = "layers.0.mlp.experts.gate_up_proj";
  EXPECT_TRUE(expert_slices(stack(name, {3, 7, 5}), kMaxExpertSlices).empty());  // odd
  EXPECT_TRUE(expert_slices(stack(name, {6, 8}), kMaxExpertSlices).empty());
  EXPECT_TRUE(expert_slices(stack(name, {1, 3, 8, 5}), kMaxExpertSlices).empty());
  EXPECT_TRUE(expert_slices(stack(name, {uint64_t{1} << 40, 8, 0}), kMaxExpertSlices).empty());
  EXPECT_TRUE(expert_slices(stack(name, {0, 8, 5}), kMaxExpertSlices).empty());
  EXPECT_TRUE(expert_slices(stack(name, {3, 8, 5}), 5).empty());  // too many
  EXPECT_TRUE(expert_slices(stack("mtp." + name, {3, 8, 5}), kMaxExpertSlices).empty());
  EXPECT_TRUE(
      expert_slices(stack("visual.blocks.0.mlp.experts.gate_up_proj", {3, 8, 5}), 99).empty());
  EXPECT_TRUE(expert_slices(stack(name + ".weight", {3, 8, 5}), kMaxExpertSlices).empty());
  EXPECT_TRUE(expert_slices(stack("gate_up_proj", {3, 8, 5}), kMaxExpertSlices).empty());
}

TEST(ExpertStack, OpensAsMatricesThatBorrowTheFile) {
  const test::TemporaryFolder folder;
  std::vector<uint16_t> values(2 * 6 * 4);
  std::iota(values.begin(), values.end(), uint16_t{0});
  std::vector<uint16_t> down(2 * 4 * 3);
  std::iota(down.begin(), down.end(), uint16_t{100});
  const std::string prefix = "model.language_model.layers.0.mlp.";
  test::write_checkpoint(
      folder.path(), Json::object(),
      {test::tensor_of(prefix + "experts.gate_up_proj", DType::kBF16, {2, 6, 4}, values),
       test::tensor_of(prefix + "experts.down_proj", DType::kBF16, {2, 4, 3}, down),
       test::tensor_of(prefix + "gate.weight", DType::kBF16, {2, 4}, std::vector<uint16_t>(8))});
  const auto checkpoint = test::open_or_fail(folder.path());
  ASSERT_NE(checkpoint, nullptr);
  EXPECT_EQ(checkpoint->tensors().size(), 7u);
  EXPECT_EQ(checkpoint->find("layers.0.mlp.experts.gate_up_proj"), nullptr);
  const TensorInfo* up = checkpoint->find("layers.0.mlp.experts.1.up_proj.weight");
  ASSERT_NE(up, nullptr);
  EXPECT_EQ(up->stored_name, prefix + "experts.1.up_proj.weight");
  EXPECT_EQ(up->shape, (Shape{3, 4}));
  EXPECT_EQ(up->n_bytes, 24u);
  EXPECT_EQ(up->shard, "model.safetensors");
  const TensorView view = checkpoint->plain(*up);
  EXPECT_EQ(view.shape, up->shape);
  uint16_t first = 0;
  ASSERT_EQ(view.bytes.size(), 24u);
  std::memcpy(&first, view.bytes.data(), sizeof(first));
  EXPECT_EQ(first, 36u);
  const TensorInfo* last = checkpoint->find("layers.0.mlp.experts.1.down_proj.weight");
  ASSERT_NE(last, nullptr);
  std::memcpy(&first, checkpoint->plain(*last).bytes.data(), sizeof(first));
  EXPECT_EQ(first, 112u);
  uint64_t n_bytes = 0;
  for (const TensorInfo& tensor : checkpoint->tensors()) {
    n_bytes += tensor.n_bytes;
    checkpoint->release(tensor);
  }
  EXPECT_EQ(n_bytes, values.size() * 2 + down.size() * 2 + 16);
  std::memcpy(&first, checkpoint->plain(*last).bytes.data(), sizeof(first));
  EXPECT_EQ(first, 112u);
}

}  // namespace
}  // namespace nibble
