#include "quantize/recipe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/file.h"
#include "quantize/checkpoint_fixture.h"

namespace nibble {
namespace {

using test::nano_job;
using testing::HasSubstr;

struct BadRecipe {
  const char* name;
  const char* text;
  const char* says;
};

class BadRecipes : public testing::TestWithParam<BadRecipe> {};

TEST_P(BadRecipes, AreRefusedWithTheirPlace) {
  const auto recipe = parse_recipe(GetParam().text, "mine.json");
  ASSERT_FALSE(recipe.has_value());
  EXPECT_THAT(recipe.error().message, HasSubstr(GetParam().says));
  EXPECT_THAT(recipe.error().subject, HasSubstr("mine.json"));
}

INSTANTIATE_TEST_SUITE_P(
    All, BadRecipes,
    testing::Values(
        BadRecipe{"no_json", "{", "line 1"}, BadRecipe{"a_list", "[]", "must be a JSON object"},
        BadRecipe{"no_rules", "{}", "\"rules\""},
        BadRecipe{"empty_rules", R"({"rules": []})", "at least one"},
        BadRecipe{"unknown_key", R"({"rulse": []})", "did you mean \"rules\""},
        BadRecipe{"key_twice", R"({"rules": [], "rules": []})", "rules"},
        BadRecipe{"description", R"({"description": 1, "rules": []})", "must be a text"},
        BadRecipe{"cache", R"({"kv_cache": "int8", "rules": []})", "\"fp8\" or \"keep\""},
        BadRecipe{"rule_key", R"({"rules": [{"role": ["head"], "target": "keep"}]})",
                  "rule 1: unknown key \"role\": did you mean \"roles\""},
        BadRecipe{"role", R"({"rules": [{"roles": ["mlp inputs"], "target": "keep"}]})",
                  "did you mean \"mlp input\""},
        BadRecipe{"far_role", R"({"rules": [{"roles": ["zzzzzzzz"], "target": "keep"}]})",
                  "attention input, attention output"},
        BadRecipe{"embedding", R"({"rules": [{"roles": ["embedding"], "target": "keep"}]})",
                  "unknown role \"embedding\""},
        BadRecipe{"target",
                  R"({"rules": [{"roles": ["head"], "target": "keep"},
                                {"roles": ["head"], "target": "nvfp4-w4a15"}]})",
                  "rule 2: unknown target \"nvfp4-w4a15\": did you mean \"nvfp4-w4a1"},
        BadRecipe{"no_target", R"({"rules": [{"roles": ["head"]}]})", "fp8-channel"},
        BadRecipe{"nobody", R"({"rules": [{"target": "keep"}]})", "\"roles\" or \"modules\""},
        BadRecipe{"roles_text", R"({"rules": [{"roles": "head", "target": "keep"}]})", "a list"},
        BadRecipe{"module_number", R"({"rules": [{"modules": [1], "target": "keep"}]})", "texts"}),
    [](const auto& test) { return std::string(test.param.name); });

TEST(Recipe, TheFirstRuleThatMeansAMatrixDecides) {
  const auto recipe = parse_recipe(R"({"rules": [
      {"modules": ["layers.0.mlp.down_proj"], "target": "keep"},
      {"roles": ["mlp output"], "modules": ["re:.*layers\\.1\\..*"], "target": "fp8-channel"},
      {"roles": ["mlp output", "head"], "target": "nvfp4-w4a4"}]})",
                                   "mine.json");
  ASSERT_TRUE(recipe.has_value()) << recipe.error().to_string();
  const std::vector<RecipeMatrix> matrices = {
      {{"layers.0.mlp.down_proj.weight", "model.layers.0.mlp.down_proj.weight"},
       TensorRole::kMlpOutput},
      {{"layers.1.mlp.down_proj.weight", "model.layers.1.mlp.down_proj.weight"},
       TensorRole::kMlpOutput},
      {{"layers.1.mlp.up_proj.weight", "model.layers.1.mlp.up_proj.weight"}, TensorRole::kMlpInput},
      {{"layers.2.mlp.down_proj.weight", "model.layers.2.mlp.down_proj.weight"},
       TensorRole::kMlpOutput},
      {{"lm_head.weight", "lm_head.weight"}, TensorRole::kHead}};
  const auto targets = recipe_targets(*recipe, matrices);
  ASSERT_TRUE(targets.has_value()) << targets.error().to_string();
  const auto name = [&](size_t i) {
    return (*targets)[i] ? target_name(*(*targets)[i]) : std::string_view("none");
  };
  EXPECT_EQ(name(0), "keep");
  EXPECT_EQ(name(1), "fp8-channel");
  EXPECT_EQ(name(2), "none");
  EXPECT_EQ(name(3), "nvfp4-w4a4");
  EXPECT_EQ(name(4), "nvfp4-w4a4");
}

TEST(Recipe, TargetsHaveOneNameEach) {
  for (const char* name : {"keep", "nvfp4-w4a16", "nvfp4-w4a4", "fp8-tensor", "fp8-channel"}) {
    const auto target = target_from_name(name);
    ASSERT_TRUE(target.has_value()) << name;
    EXPECT_EQ(target_name(*target), name);
  }
  EXPECT_FALSE(target_from_name("nvfp4").has_value());
}

// The plan of a recipe written by a user, or the error.
Result<Plan> plan_with(const std::string& recipe, const std::string& dialect = "compressed-tensors",
                       const std::string& head = {}) {
  const test::TemporaryFolder folder;
  QuantizeJob job = nano_job("unused");
  job.recipe = folder.path("mine.json");
  job.dialect = dialect;
  job.head = head;
  EXPECT_TRUE(write_file_atomically(job.recipe, recipe).has_value());
  return make_plan(job);
}

std::string_view target_of(const Plan& plan, const std::string& name) {
  for (const PlanRow& row : plan.rows) {
    if (row.tensor->name == name) return target_name(row.target);
  }
  return "absent";
}

constexpr const char* kDown = R"({"rules": [{"roles": ["mlp output"], "target": "fp8-channel"}]})";

TEST(Recipe, UsersWriteTheirOwn) {
  const auto plan = plan_with(kDown);
  ASSERT_TRUE(plan.has_value()) << plan.error().to_string();
  EXPECT_EQ(target_of(*plan, "layers.5.mlp.down_proj.weight"), "fp8-channel");
  EXPECT_EQ(target_of(*plan, "layers.5.mlp.up_proj.weight"), "keep");
  EXPECT_FALSE(plan->needs_calibration());
  EXPECT_FALSE(load_recipe("/nowhere/mine.json").has_value());
  const auto unknown = load_recipe("portabel");
  ASSERT_FALSE(unknown.has_value());
  EXPECT_THAT(unknown.error().message, HasSubstr("did you mean \"portable\""));
}

TEST(Recipe, PatternsThatMatchNothingNameTheirRule) {
  const auto plan = plan_with(R"({"rules": [
      {"roles": ["mlp output"], "target": "nvfp4-w4a16"},
      {"modules": ["layers.99.mlp"], "target": "keep"}]})");
  ASSERT_FALSE(plan.has_value());
  EXPECT_THAT(plan.error().message, HasSubstr("rule 2"));
  EXPECT_THAT(plan.error().message, HasSubstr("layers.99.mlp"));
}

TEST(Recipe, FusedMatricesMustAgree) {
  const auto plan = plan_with(R"({"rules": [
      {"modules": ["gate_proj"], "target": "nvfp4-w4a16"},
      {"roles": ["mlp input"], "target": "fp8-channel"}]})");
  ASSERT_FALSE(plan.has_value());
  EXPECT_THAT(plan.error().message, HasSubstr("both alike"));
  const auto kept = plan_with(R"({"rules": [
      {"modules": ["layers.2.mlp.gate_proj"], "target": "keep"},
      {"roles": ["mlp input"], "target": "fp8-channel"}]})");
  ASSERT_TRUE(kept.has_value()) << kept.error().to_string();
  EXPECT_EQ(target_of(*kept, "layers.2.mlp.up_proj.weight"), "keep");
}

TEST(Recipe, DialectsRefuseWhatTheyCannotHold) {
  const auto plan = plan_with(kDown, "modelopt");
  ASSERT_FALSE(plan.has_value());
  EXPECT_THAT(plan.error().message, HasSubstr("one scale a matrix"));
}

TEST(Recipe, TheHeadOptionOverrules) {
  const auto fp8 = plan_with(kDown, "compressed-tensors", "fp8");
  ASSERT_TRUE(fp8.has_value());
  EXPECT_EQ(target_of(*fp8, "lm_head.weight"), "fp8-tensor");
  EXPECT_TRUE(fp8->needs_calibration());
  QuantizeJob job = nano_job("unused");
  job.recipe = "nvidia";
  EXPECT_EQ(target_of(*make_plan(job), "lm_head.weight"), "nvfp4-w4a16");
  job.head = "bf16";
  EXPECT_EQ(target_of(*make_plan(job), "lm_head.weight"), "keep");
  job.head = "int8";
  EXPECT_THAT(make_plan(job).error().message, HasSubstr("bf16, fp8, nvfp4"));
}

TEST(Recipe, ATiedHeadCannotBeQuantized) {
  const test::TemporaryFolder folder;
  const std::string source = folder.path("tied");
  test::copy_folder(test::nano(), source);
  Json config = read_json_file(source + "/config.json").value();
  config["tie_word_embeddings"] = true;
  config["text_config"]["tie_word_embeddings"] = true;
  ASSERT_TRUE(write_file_atomically(source + "/config.json", dump_json(config)).has_value());
  QuantizeJob job = nano_job("unused");
  job.source = source;
  job.recipe = "nvidia";
  const auto plan = make_plan(job);
  ASSERT_TRUE(plan.has_value()) << plan.error().to_string();
  EXPECT_EQ(target_of(*plan, "lm_head.weight"), "keep");
  job.head = "nvfp4";
  EXPECT_THAT(make_plan(job).error().message, HasSubstr("embedding serves as head"));
  job.head = "bf16";
  EXPECT_TRUE(make_plan(job).has_value());
}

}  // namespace
}  // namespace nibble
