#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "quantize/checkpoint_fixture.h"

namespace nibble {
namespace {

using test::nano_job;
using testing::HasSubstr;

Plan plan_of(const QuantizeJob& job) {
  auto plan = make_plan(job);
  EXPECT_TRUE(plan.has_value()) << plan.error().to_string();
  return plan ? *plan : Plan{};
}

size_t n_quantized(const Plan& plan) {
  size_t n = 0;
  for (const PlanRow& row : plan.rows) n += row.quantizes() ? 1 : 0;
  return n;
}

const PlanRow& row_of(const Plan& plan, const std::string& name) {
  for (const PlanRow& row : plan.rows) {
    if (row.tensor->name == name) return row;
  }
  ADD_FAILURE() << name;
  return plan.rows.front();
}

Error plan_error(const QuantizeJob& job) {
  const auto plan = make_plan(job);
  EXPECT_FALSE(plan.has_value());
  return plan ? Error(ErrorCode::kCorrupt, "no error") : plan.error();
}

TEST(Plan, RecipesSelectTheLinearsOfTheLayers) {
  QuantizeJob job = nano_job("unused");
  const Plan all = plan_of(job);
  EXPECT_EQ(n_quantized(all), 62u);
  for (const PlanRow& row : all.rows) EXPECT_EQ(row.quantizes(), row.reason.empty());
  for (const char* kept : {"embed_tokens.weight", "norm.weight", "layers.0.linear_attn.A_log",
                           "layers.0.linear_attn.conv1d.weight"}) {
    EXPECT_FALSE(row_of(all, kept).quantizes()) << kept;
  }
  job.recipe = "mlp";
  const Plan mlp = plan_of(job);
  EXPECT_EQ(n_quantized(mlp), 24u);
  EXPECT_EQ(row_of(mlp, "layers.0.linear_attn.out_proj.weight").reason, "not in recipe mlp");
}

TEST(Plan, VisionAndMtpPassThrough) {
  for (const PlanRow& row : plan_of(nano_job("unused")).rows) {
    if (row.tensor->name.starts_with("visual.") || row.tensor->name.starts_with("mtp.")) {
      EXPECT_FALSE(row.quantizes()) << row.tensor->name;
      EXPECT_THAT(row.reason, HasSubstr("passes through"));
      EXPECT_EQ(row.n_output_bytes, row.tensor->n_bytes);
    }
  }
}

TEST(Plan, IgnoredMembersTakeTheirFusedGroupAlong) {
  QuantizeJob job = nano_job("unused");
  job.ignore = {"layers.0.mlp.gate_proj"};
  const Plan plan = plan_of(job);
  EXPECT_EQ(n_quantized(plan), 60u);
  EXPECT_THAT(row_of(plan, "layers.0.mlp.gate_proj.weight").reason,
              HasSubstr("ignored by \"layers.0.mlp.gate_proj\""));
  EXPECT_THAT(row_of(plan, "layers.0.mlp.up_proj.weight").reason,
              HasSubstr("kept with layers.0.mlp.gate_proj.weight"));
  EXPECT_TRUE(row_of(plan, "layers.0.mlp.down_proj.weight").quantizes());
}

TEST(Plan, PatternsAddUp) {
  QuantizeJob job = nano_job("unused");
  job.ignore = {"linear_attn", "re:.*self_attn.*", "lm_head", "re:^mtp.*"};
  EXPECT_EQ(n_quantized(plan_of(job)), 24u);
}

TEST(Plan, PatternsThatMatchNothingAreErrors) {
  QuantizeJob job = nano_job("unused");
  job.ignore = {"no_such_module"};
  const Error error = plan_error(job);
  EXPECT_EQ(error.code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(error.message, HasSubstr("layers.*.mlp.gate_proj"));
  job.ignore = {"re:.*"};
  EXPECT_THAT(plan_error(job).message, HasSubstr("nothing is left to quantize"));
}

TEST(Plan, UnknownChoicesListTheKnownOnes) {
  QuantizeJob job = nano_job("unused");
  job.method = "magic";
  EXPECT_THAT(plan_error(job).message, HasSubstr("rtn, sweep"));
  job = nano_job("unused");
  job.recipe = "none";
  EXPECT_THAT(plan_error(job).message, HasSubstr("all, mlp, nvidia, portable, spark"));
  job = nano_job("unused");
  job.dialect = "onnx";
  EXPECT_THAT(plan_error(job).message, HasSubstr("compressed-tensors"));
}

TEST(Plan, SourcesThatCannotBeUsed) {
  const test::TemporaryFolder folder;
  QuantizeJob job = nano_job("unused");
  job.source = folder.path("nowhere");
  EXPECT_EQ(plan_error(job).code, ErrorCode::kNotFound);

  job.source = folder.path("other");
  test::copy_folder(test::nano(), job.source);
  const std::string config_path = job.source + "/config.json";
  Json config = read_json_file(config_path).value();
  config["architectures"] = {"LlamaForCausalLM"};
  config["model_type"] = "llama";
  config["text_config"]["model_type"] = "llama";
  ASSERT_TRUE(write_file_atomically(config_path, dump_json(config)).has_value());
  EXPECT_EQ(plan_error(job).code, ErrorCode::kUnsupportedArchitecture);
}

TEST(Plan, TextAndJsonAgree) {
  QuantizeJob job = nano_job("unused");
  job.ignore = {"layers.0.mlp.gate_proj"};
  const Plan plan = plan_of(job);
  const Json json = plan_json(plan);
  EXPECT_EQ(json["n_quantized"], 60);
  EXPECT_EQ(json["tensors"].size(), plan.rows.size());
  EXPECT_NEAR(json["bits_per_quantized_weight"].get<double>(), 4.5, 0.01);
  EXPECT_LT(json["n_output_bytes"], json["n_source_bytes"]);
  EXPECT_THAT(plan_text(plan), HasSubstr("60 of "));
  EXPECT_THAT(plan_text(plan), HasSubstr("engines fuse them"));
}

}  // namespace
}  // namespace nibble
