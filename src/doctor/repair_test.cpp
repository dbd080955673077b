// Diagnosing, judging and repairing small exports of the real tools.
#include "doctor/repair.h"

#include <gtest/gtest.h>

#include "doctor/diagnose.h"
#include "doctor/loaders.h"
#include "tests/test_data.h"

namespace nibble {
namespace {

Diagnosis diagnosed(const std::string& folder) {
  auto made = diagnose_checkpoint(folder);
  EXPECT_TRUE(made.has_value());
  return made ? *made : Diagnosis{};
}

LoaderVerdict newest(const Json& facts, const std::string& engine) {
  const auto rows = filter_loaders(loader_table(loader_knowledge(), facts), engine);
  EXPECT_TRUE(rows.has_value());
  return rows->back().verdict;
}

bool has_code(const Diagnosis& diagnosis, const std::string& code) {
  for (const Finding& finding : diagnosis.findings) {
    if (finding.code == code) return true;
  }
  return false;
}

TEST(Repair, AutoRoundsOwnDescriptionBecomesOneThatServersRead) {
  const test::TemporaryFolder folder;
  const std::filesystem::path from = test::source_path("tests/dialect_fixtures/autoround");
  for (const char* name : {"config.json", "model.safetensors"}) {
    std::filesystem::copy_file(from / name, folder.path(name));
  }
  const Diagnosis before = diagnosed(folder.path());
  EXPECT_TRUE(has_code(before, "auto_round_description"));
  EXPECT_EQ(newest(before.facts, "vllm"), LoaderVerdict::kDoesNot);
  ASSERT_TRUE(repair_checkpoint(folder.path(), {}).has_value());
  const Diagnosis after = diagnosed(folder.path());
  EXPECT_FALSE(has_code(after, "auto_round_description"));
  EXPECT_FALSE(has_code(after, "list_misses"));
  EXPECT_EQ(after.facts["dialect"], "compressed-tensors");
  const auto second = repair_checkpoint(folder.path(), {});
  ASSERT_TRUE(second.has_value());
  EXPECT_TRUE(second->steps.empty());
  EXPECT_TRUE(std::filesystem::exists(folder.path("config.json.before-repair")));
}

TEST(Repair, AListWithoutVisionIsFoundAndMended) {
  const test::TemporaryFolder folder;
  const std::filesystem::path from = test::source_path("tests/dialect_fixtures/autoround");
  std::filesystem::copy_file(from / "config.llm_compressor.json", folder.path("config.json"));
  std::filesystem::copy_file(from / "model.safetensors", folder.path("model.safetensors"));
  if (diagnosed(folder.path()).facts["vllm_gap"] == true) {
    EXPECT_TRUE(has_code(diagnosed(folder.path()), "list_misses"));
  }
  ASSERT_TRUE(repair_checkpoint(folder.path(), {}).has_value());
  EXPECT_EQ(diagnosed(folder.path()).facts["vllm_gap"], false);
}

TEST(Loaders, VersionsCompareByNumber) {
  EXPECT_LT(compare_versions("0.5.9", "0.5.10"), 0);
  EXPECT_EQ(compare_versions("0.32", "0.32.0"), 0);
  EXPECT_GT(compare_versions("1", "0.99"), 0);
}

TEST(Loaders, DataThatIsWrongIsRefused) {
  EXPECT_FALSE(parse_loader_knowledge("{}", "x").has_value());
  EXPECT_FALSE(parse_loader_knowledge(R"({"engines": [{"name": "a", "title": "A",
      "latest_seen": "1"}], "rules": [{"id": "r", "engine": "b"}]})",
                                      "x")
                   .has_value());
  EXPECT_GE(loader_knowledge().rules.size(), 50u);
}

}  // namespace
}  // namespace nibble
