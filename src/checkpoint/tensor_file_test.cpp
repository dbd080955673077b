// Files of named tensors.
#include "checkpoint/tensor_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/test_data.h"

namespace nibble {
namespace {

TEST(TensorFile, RoundTrips) {
  const test::TemporaryFolder folder;
  const std::vector<float> logits = {1.0f, -2.0f, 3.5f, 0.0f, 5.0f, 6.0f};
  const std::vector<int32_t> ids = {7, 8};
  const std::vector<NamedTensor> tensors = {
      {"logits", {DType::kF32, {2, 3}, std::as_bytes(std::span(logits))}},
      {"ids", {DType::kI32, {2}, std::as_bytes(std::span(ids))}},
      {"nothing", {DType::kF32, {0, 3}, {}}},
  };
  ASSERT_TRUE(write_tensor_file(folder.path("x.safetensors"), tensors));
  const auto file = TensorFile::open(folder.path("x.safetensors"));
  ASSERT_TRUE(file) << file.error().to_string();
  EXPECT_THAT(file->names(), testing::ElementsAre("ids", "logits", "nothing"));
  EXPECT_EQ(file->metadata("format"), "pt");
  EXPECT_EQ(file->metadata("prompt"), std::nullopt);
  EXPECT_FALSE(file->find("other"));
  const auto found = file->find("logits");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->shape, (Shape{2, 3}));
  std::vector<float> values(6);
  ASSERT_TRUE(to_f32(*found, values));
  EXPECT_EQ(values, logits);
  EXPECT_EQ(file->find("nothing")->bytes.size(), 0u);
  EXPECT_TRUE(file->intact());
}

TEST(TensorFile, LeavesNothingBehindOnErrors) {
  const test::TemporaryFolder folder;
  const std::vector<float> values = {1.0f, 2.0f};
  const TensorView view{DType::kF32, {2}, std::as_bytes(std::span(values))};
  TensorView wrong = view;
  wrong.shape = {3};
  const std::vector<std::vector<NamedTensor>> bad = {{{"a", view}, {"a", view}}, {{"a", wrong}}};
  for (const auto& tensors : bad) {
    const Status status = write_tensor_file(folder.path("x.safetensors"), tensors);
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, ErrorCode::kInvalidArgument);
  }
  const Status nowhere = write_tensor_file(folder.path("no/x.safetensors"), {});
  ASSERT_FALSE(nowhere);
  EXPECT_EQ(nowhere.error().code, ErrorCode::kNotFound);
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  const auto missing = TensorFile::open(folder.path("x.safetensors"));
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace nibble
