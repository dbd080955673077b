#include "doctor/inspect.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/file.h"
#include "tests/test_data.h"

namespace nibble {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;

InspectReport inspected(const std::string& folder) {
  auto report = inspect_checkpoint(folder);
  EXPECT_TRUE(report.has_value()) << report.error().to_string();
  return report ? *report : InspectReport{};
}

// A folder whose weights are links to the bundled model's and whose config is its own.
void link_nano(const test::TemporaryFolder& folder, const Json& config) {
  const std::filesystem::path nano = test::source_path("models/nano");
  for (const auto& file : std::filesystem::directory_iterator(nano)) {
    const std::string name = file.path().filename().string();
    if (name != "config.json") std::filesystem::create_symlink(file.path(), folder.path(name));
  }
  ASSERT_TRUE(write_file_atomically(folder.path("config.json"), dump_json(config)).has_value());
}

Json nano_config() { return read_json_file(test::source_path("models/nano/config.json")).value(); }

TEST(Inspect, BundledModel) {
  const InspectReport report = inspected(test::source_path("models/nano"));
  EXPECT_THAT(report.problems, IsEmpty());
  EXPECT_EQ(report.dialect, "hf");
  EXPECT_EQ(report.body_linears.n_tensors, 62u);
  EXPECT_DOUBLE_EQ(report.body_linears.bits_per_element(), 16.0);
  EXPECT_EQ(report.all.n_tensors, report.tensors.size());
  uint64_t n_bytes = 0;
  for (const auto& [role, total] : report.roles) n_bytes += total.n_bytes;
  EXPECT_EQ(n_bytes, report.all.n_bytes);
  for (const InspectedTensor& tensor : report.tensors) EXPECT_TRUE(tensor.role.has_value());
}

TEST(Inspect, TextAndJsonShowTheSame) {
  const InspectReport report = inspected(test::source_path("models/nano"));
  const Json json = inspect_json(report);
  EXPECT_EQ(json["tensors"].size(), report.tensors.size());
  EXPECT_EQ(json["body_linears"]["n_tensors"], 62);
  EXPECT_EQ(json["config"]["n_layers"], 8);
  const std::string text = inspect_text(report);
  EXPECT_THAT(text, HasSubstr("layers.7.mlp.down_proj.weight"));
  EXPECT_THAT(text, HasSubstr("linears of the layers"));
  EXPECT_THAT(text, HasSubstr("vision"));
}

TEST(Inspect, TellsEveryStorageApart) {
  const InspectReport report =
      inspected(test::source_path("tests/dialect_fixtures/modelopt-mixed"));
  const auto find = [&](const std::string& storage) {
    for (const auto& [name, total] : report.storages) {
      if (name == storage) return total;
    }
    return InspectTotal{};
  };
  EXPECT_EQ(find("NVFP4").n_tensors, 10u);  // the MLPs of three layers and the head
  EXPECT_NEAR(find("NVFP4").bits_per_element(), 4.5, 0.1);
  EXPECT_EQ(find("FP8").n_tensors, 10u);  // three linears of two DeltaNet layers, four of attention
  EXPECT_NEAR(find("FP8").bits_per_element(), 8.0, 0.3);
  EXPECT_DOUBLE_EQ(find("BF16").bits_per_element(), 16.0);
  EXPECT_THAT(inspect_text(report), HasSubstr("  FP8 "));
}

TEST(Inspect, AnotherArchitectureIsListedAllTheSame) {
  const test::TemporaryFolder folder;
  Json config = nano_config();
  config["architectures"] = {"LlamaForCausalLM"};
  config["model_type"] = "llama";
  config["text_config"]["model_type"] = "llama";
  link_nano(folder, config);
  const InspectReport report = inspected(folder.path());
  EXPECT_FALSE(report.config.has_value());
  ASSERT_EQ(report.problems.size(), 1u);
  EXPECT_EQ(report.roles.back().first, "unknown");
  EXPECT_GT(report.all.n_bytes, 0u);
  EXPECT_TRUE(inspect_json(report)["config"].is_null());
  EXPECT_THAT(inspect_text(report), HasSubstr("problem: "));
}

TEST(Inspect, TensorsThatDoNotFitAreAProblemNotAnError) {
  const test::TemporaryFolder folder;
  Json config = nano_config();
  const int n_layers = config["text_config"]["num_hidden_layers"];
  config["text_config"]["num_hidden_layers"] = n_layers + 1;
  config["text_config"]["layer_types"].push_back("full_attention");
  link_nano(folder, config);
  const InspectReport report = inspected(folder.path());
  ASSERT_EQ(report.problems.size(), 1u);
  EXPECT_THAT(report.problems[0], HasSubstr("missing: layers.8."));
  EXPECT_EQ(report.body_linears.n_tensors, 62u);
}

TEST(Inspect, QuantizedExportsShowTheirEffectiveBits) {
  const std::string folder = test::golden_path("exports/llmcompressor-nvfp4a16-cut");
  REQUIRE_GOLDEN(folder);
  const test::TemporaryFolder own;
  for (const char* name : {"config.json", "model.safetensors"}) {
    std::filesystem::create_symlink(folder + "/" + name, own.path(name));
  }
  const InspectReport report = inspected(own.path());
  EXPECT_EQ(report.dialect, "compressed-tensors");
  std::vector<std::string> storages;
  for (const auto& [storage, total] : report.storages) {
    storages.push_back(storage);
    if (storage == "NVFP4") {
      EXPECT_NEAR(total.bits_per_element(), 4.5, 0.01);
    }
  }
  EXPECT_THAT(storages, Contains("NVFP4"));
  EXPECT_LT(report.body_linears.bits_per_element(), 5.0);
}

TEST(Inspect, WhatIsNoCheckpointIsAnError) {
  const test::TemporaryFolder folder;
  EXPECT_FALSE(inspect_checkpoint(folder.path()).has_value());
  EXPECT_FALSE(inspect_checkpoint(folder.path("nowhere")).has_value());
}

}  // namespace
}  // namespace nibble
