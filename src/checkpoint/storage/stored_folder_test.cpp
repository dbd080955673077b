// Folders whose files do not fit together.
#include "checkpoint/storage/stored_folder.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "checkpoint/storage/find_shards.h"
#include "checkpoint/testing/tiny_checkpoint.h"
#include "tests/test_data.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;
using test::write_text;
using testing::HasSubstr;

class StoredFolderTest : public testing::Test {
 protected:
  void SetUp() override { write_text(path("config.json"), R"({"model_type": "qwen3_5"})"); }
  std::string path(const std::string& relative = {}) const { return folder_.path(relative); }

  void shard(const std::string& name, const std::vector<std::string>& tensors) {
    std::vector<test::OwnedTensor> owned;
    for (const std::string& tensor : tensors) {
      owned.push_back(test::filled(tensor, DType::kF32, {2}, 0));
    }
    test::write_tensors(path(name), owned);
  }
  void index(const std::string& weight_map) {
    write_text(path("model.safetensors.index.json"), R"({"weight_map": )" + weight_map + "}");
  }
  void expect_error(ErrorCode code, const std::string& says) {
    const auto opened = Checkpoint::open(path());
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().code, code) << opened.error().to_string();
    EXPECT_THAT(opened.error().message, HasSubstr(says));
    EXPECT_LT(opened.error().message.size(), 2000u);
  }

  test::TemporaryFolder folder_;
};

TEST_F(StoredFolderTest, TakesShardsWithAndWithoutIndex) {
  shard("b.safetensors", {"model.b.weight"});
  shard("a.safetensors", {"model.a.weight"});
  const auto all = test::open_or_fail(path());
  ASSERT_EQ(all->tensors().size(), 2u);
  EXPECT_EQ(all->tensors()[0].name, "a.weight");
  shard("model.safetensors", {"model.c.weight"});
  EXPECT_EQ(test::open_or_fail(path())->tensors().size(), 1u);
  index(R"({"model.b.weight": "b.safetensors"})");
  EXPECT_EQ(test::open_or_fail(path())->tensors()[0].name, "b.weight");
}

TEST_F(StoredFolderTest, RefusesIndicesThatLeadElsewhere) {
  shard("a.safetensors", {"a"});
  for (const char* name :
       {"../a.safetensors", "/etc/passwd", "/tmp/a.safetensors", "..", ".", "x/a.safetensors",
        "a.bin", ".safetensors", "", "a\\u0000.safetensors"}) {
    index(fmt::format(R"({{"a": "{}"}})", name));
    expect_error(ErrorCode::kCorrupt, "not the name of a *.safetensors file");
  }
  index(R"({"a": 5})");
  expect_error(ErrorCode::kCorrupt, "not the name");
  index("[]");
  expect_error(ErrorCode::kCorrupt, "weight_map");
  index("{}");
  expect_error(ErrorCode::kCorrupt, "weight_map");
  index(R"({"a": "a.safetensors", "a": "b.safetensors"})");
  expect_error(ErrorCode::kCorrupt, "twice");
  write_text(path("model.safetensors.index.json"), "[1, 2]");
  expect_error(ErrorCode::kCorrupt, "weight_map");
  write_text(path("model.safetensors.index.json"), "{\"weight_map\": {");
  expect_error(ErrorCode::kCorrupt, "not valid JSON");
}

TEST_F(StoredFolderTest, ReportsMissingShardsTogether) {
  shard("a.safetensors", {"a"});
  index(R"({"a": "a.safetensors", "b": "b.safetensors", "c": "c.safetensors"})");
  expect_error(ErrorCode::kNotFound, "2 of its 3 shards: b.safetensors; c.safetensors");
}

TEST_F(StoredFolderTest, NoticesMissingShardsWithoutAnIndex) {
  shard("model-00001-of-00003.safetensors", {"a"});
  shard("model-00003-of-00003.safetensors", {"c"});
  expect_error(ErrorCode::kNotFound, "one of 3");
}

TEST_F(StoredFolderTest, RefusesATensorInTwoShards) {
  shard("a.safetensors", {"x", "y"});
  shard("b.safetensors", {"y", "z"});
  expect_error(ErrorCode::kCorrupt, "\"y\" in two shards, a.safetensors and b.safetensors");
}

TEST_F(StoredFolderTest, ReportsWhatTheIndexMisplaces) {
  shard("a.safetensors", {"x"});
  shard("b.safetensors", {"y"});
  index(R"({"x": "b.safetensors", "y": "b.safetensors", "z": "a.safetensors"})");
  expect_error(ErrorCode::kCorrupt,
               "2 tensors that are not where it says: x (in b.safetensors); z");
}

TEST_F(StoredFolderTest, LimitsTheNumberOfShards) {
  std::string map = "{";
  for (int i = 0; i < 100'000; ++i) map += fmt::format(R"("t{}": "s{}.safetensors",)", i, i);
  map.back() = '}';
  index(map);
  expect_error(ErrorCode::kLimit, "100000 shards");
}

TEST_F(StoredFolderTest, RefusesTheSameTensorUnderTwoPrefixes) {
  shard("model.safetensors", {"model.norm.weight", "model.language_model.norm.weight"});
  expect_error(ErrorCode::kCorrupt, "both are norm.weight");
}

TEST_F(StoredFolderTest, NamesOtherContainers) {
  expect_error(ErrorCode::kNotFound, "no *.safetensors file");
  write_text(path("mmproj-model.gguf"), "GGUF");
  expect_error(ErrorCode::kNotFound, "no *.safetensors file");
  write_text(path("pytorch_model.bin"), "PK");
  expect_error(ErrorCode::kUnsupported, "PyTorch");
  const auto file = Checkpoint::open(path("pytorch_model.bin"));
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code, ErrorCode::kInvalidArgument);
  const auto nothing = Checkpoint::open(path("nothing"));
  ASSERT_FALSE(nothing);
  EXPECT_EQ(nothing.error().code, ErrorCode::kNotFound);
}

TEST_F(StoredFolderTest, NeedsAConfig) {
  shard("model.safetensors", {"x"});
  write_text(path("config.json"), "[]");
  expect_error(ErrorCode::kCorrupt, "not a JSON object");
  write_text(path("config.json"), R"({"quantization_config": 4})");
  expect_error(ErrorCode::kCorrupt, "quantization_config");
  fs::remove(path("config.json"));
  expect_error(ErrorCode::kNotFound, "cannot open");
  write_text(path("config.json"), "{}");
  write_text(path("model.safetensors"), "12345");
  expect_error(ErrorCode::kCorrupt, "5 bytes long");
}

TEST_F(StoredFolderTest, SurvivesAShardThatShrinks) {
  test::write_tensors(path("model.safetensors"),
                      {test::filled("x.weight", DType::kF32, {256, 1024}, 1)});
  const auto opened = test::open_or_fail(path());
  fs::resize_file(path("model.safetensors"), 4096);
  std::vector<float> row(1024);
  EXPECT_TRUE(opened->read_rows_f32(opened->tensors()[0], 255, 1, row));
  const Status intact = opened->intact();
  ASSERT_FALSE(intact);
  EXPECT_EQ(intact.error().code, ErrorCode::kIo);
}

}  // namespace
}  // namespace nibble
