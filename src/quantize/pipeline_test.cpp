#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <map>

#include "core/cancel.h"
#include "model/tensor_table.h"
#include "numbers/bf16.h"
#include "numbers/nvfp4.h"
#include "quantize/checkpoint_fixture.h"

namespace nibble {
namespace {

using test::failure;
using test::nano_job;
using test::quantized;
using testing::HasSubstr;

double relative_mse_of(const QuantizeReport& report) {
  double errors = 0.0;
  double squares = 0.0;
  for (const TensorError& error : report.tensors) {
    errors += error.sum_squared_errors;
    squares += error.sum_squares;
  }
  return errors / squares;
}

TEST(Pipeline, QuantizesTheBundledModelAsWellAsTheMethodsCan) {
  const test::TemporaryFolder folder;
  const QuantizeReport rtn = quantized(nano_job(folder.path("rtn"), "rtn"));
  const QuantizeReport sweep = quantized(nano_job(folder.path("sweep"), "sweep"));
  ASSERT_EQ(rtn.tensors.size(), 62u);
  ASSERT_EQ(sweep.tensors.size(), 62u);
  EXPECT_NEAR(relative_mse_of(rtn), 9.0e-3, 0.4e-3);
  EXPECT_NEAR(relative_mse_of(sweep), 6.7e-3, 0.3e-3);
  for (size_t i = 0; i < rtn.tensors.size(); ++i) {
    EXPECT_LE(sweep.tensors[i].sum_squared_errors, rtn.tensors[i].sum_squared_errors);
    EXPECT_EQ(sweep.tensors[i].tensor_scale, rtn.tensors[i].tensor_scale);
  }
  EXPECT_LT(rtn.n_output_bytes, rtn.n_source_bytes * 6 / 10);
  EXPECT_FALSE(std::filesystem::exists(folder.path("rtn.partial")));
}

TEST(Pipeline, FusedMembersShareTheScaleOfTheirJointAmax) {
  const test::TemporaryFolder folder;
  quantized(nano_job(folder.path("out")));
  const auto out = Checkpoint::open(folder.path("out"));
  const auto source = Checkpoint::open(test::nano());
  ASSERT_TRUE(out.has_value() && source.has_value());
  const auto config = parse_model_config((*source)->config(), "config.json");
  ASSERT_TRUE(config.has_value());
  std::map<std::string, std::vector<std::string>> groups;
  for (const TensorSpec& spec : tensor_table(*config)) {
    if (!spec.fused_group.empty()) groups[spec.fused_group].push_back(spec.name);
  }
  ASSERT_FALSE(groups.empty());
  for (const auto& [group, names] : groups) {
    float amax = 0.0f;
    for (const std::string& name : names) {
      const TensorInfo& tensor = *(*source)->find(name);
      std::vector<float> values(tensor.shape[0] * tensor.shape[1]);
      ASSERT_TRUE((*source)->read_rows_f32(tensor, 0, tensor.shape[0], values).has_value());
      for (const float value : values) amax = std::max(amax, std::fabs(value));
    }
    for (const std::string& name : names) {
      EXPECT_EQ((*out)->nvfp4(*(*out)->find(name)).tensor_scale, nvfp4_tensor_scale(amax)) << name;
    }
  }
}

std::string all_shards(const std::string& folder) {
  std::string bytes;
  for (const char* name : {"model.safetensors", "model-00001-of-00001.safetensors"}) {
    if (std::filesystem::exists(folder + "/" + name)) bytes += *read_file(folder + "/" + name);
  }
  return bytes;
}

TEST(Pipeline, SameBytesForEveryNumberOfThreads) {
  const test::TemporaryFolder folder;
  QuantizeJob job = nano_job(folder.path("one"), "sweep");
  job.n_threads = 1;
  quantized(job);
  job.n_threads = 3;
  job.destination = folder.path("three");
  quantized(job);
  const std::string one = all_shards(folder.path("one"));
  EXPECT_GT(one.size(), 1'000'000u);
  EXPECT_TRUE(one == all_shards(folder.path("three")));
}

TEST(Pipeline, BothDialectsHoldTheSameNumbers) {
  const test::TemporaryFolder folder;
  QuantizeJob job = nano_job(folder.path("ct"));
  quantized(job);
  job.destination = folder.path("mo");
  job.dialect = "modelopt";
  quantized(job);
  const auto ct = Checkpoint::open(folder.path("ct"));
  const auto mo = Checkpoint::open(folder.path("mo"));
  ASSERT_TRUE(ct.has_value() && mo.has_value());
  ASSERT_EQ((*ct)->tensors().size(), (*mo)->tensors().size());
  for (const TensorInfo& tensor : (*ct)->tensors()) {
    const TensorInfo* other = (*mo)->find(tensor.name);
    ASSERT_NE(other, nullptr) << tensor.name;
    if (tensor.storage != Storage::kNvfp4) continue;
    const QuantizedMatrixView a = (*ct)->nvfp4(tensor);
    const QuantizedMatrixView b = (*mo)->nvfp4(*other);
    EXPECT_EQ(a.tensor_scale, b.tensor_scale);
    EXPECT_TRUE(std::equal(a.codes.begin(), a.codes.end(), b.codes.begin(), b.codes.end()));
    EXPECT_TRUE(std::equal(a.scales.begin(), a.scales.end(), b.scales.begin(), b.scales.end()));
  }
}

TEST(Pipeline, NotANumberInAnyWeightStopsItAndLeavesNothing) {
  const test::TemporaryFolder folder;
  QuantizeJob job = nano_job(folder.path("out"));
  job.source = folder.path("bad");
  const std::string prefix = "model.language_model.";
  struct Case {
    const char* name;
    uint16_t bits;
    const char* what;
  };
  for (const Case& c : {Case{"layers.3.mlp.up_proj.weight", 0x7fc0, "NaN"},
                        Case{"layers.3.mlp.up_proj.weight", 0xff80, "infinite"},
                        Case{"layers.1.input_layernorm.weight", 0x7fc0, "NaN"}}) {
    std::filesystem::remove_all(job.source);
    test::copy_folder(test::nano(), job.source);
    const auto place = test::place_of(job.source, prefix + c.name);
    const char bytes[2] = {static_cast<char>(c.bits & 0xff), static_cast<char>(c.bits >> 8)};
    test::overwrite(place, 2 * 37, {bytes, 2});
    const Error error = failure(job);
    EXPECT_EQ(error.code, ErrorCode::kNotFinite);
    EXPECT_THAT(error.to_string(), HasSubstr(c.name));
    EXPECT_THAT(error.message, HasSubstr("37]"));
    EXPECT_THAT(error.message, HasSubstr(c.what));
    EXPECT_FALSE(std::filesystem::exists(folder.path("out")));
    EXPECT_FALSE(std::filesystem::exists(folder.path("out.partial")));
  }
}

TEST(Pipeline, TruncatedSourceAndQuantizedSourceAreRefused) {
  const test::TemporaryFolder folder;
  QuantizeJob job = nano_job(folder.path("out"));
  quantized(job);
  QuantizeJob again = job;
  again.source = folder.path("out");
  again.destination = folder.path("twice");
  const Error twice = failure(again);
  EXPECT_EQ(twice.code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(twice.message, HasSubstr("already quantized"));

  job.source = folder.path("short");
  job.destination = folder.path("out2");
  test::copy_folder(test::nano(), job.source);
  const std::string shard = job.source + "/model-00002-of-00002.safetensors";
  std::filesystem::resize_file(shard, std::filesystem::file_size(shard) - 1000);
  EXPECT_EQ(failure(job).code, ErrorCode::kCorrupt);
  EXPECT_FALSE(std::filesystem::exists(folder.path("out2")));
}

TEST(Pipeline, SourceTruncatedWhileItIsReadIsNoticed) {
  const test::TemporaryFolder folder;
  QuantizeJob job = nano_job(folder.path("out"));
  job.source = folder.path("src");
  test::copy_folder(test::nano(), job.source);
  const auto plan = make_plan(job);
  ASSERT_TRUE(plan.has_value());
  std::filesystem::resize_file(job.source + "/model-00002-of-00002.safetensors", 4096);
  const auto report = run_quantize(job, *plan);
  ASSERT_FALSE(report.has_value());
  EXPECT_EQ(report.error().code, ErrorCode::kIo);
  EXPECT_FALSE(std::filesystem::exists(folder.path("out")));
  EXPECT_FALSE(std::filesystem::exists(folder.path("out.partial")));
}

TEST(Pipeline, ExistingDestinationNeedsForce) {
  const test::TemporaryFolder folder;
  QuantizeJob job = nano_job(folder.path("out"));
  quantized(job);
  EXPECT_EQ(failure(job).code, ErrorCode::kAlreadyExists);
  job.force = true;
  EXPECT_EQ(quantized(job).tensors.size(), 62u);
}

TEST(Pipeline, CancelledHalfWayLeavesOnlyThePartialFolder) {
  const test::TemporaryFolder folder;
  const QuantizeJob job = nano_job(folder.path("out"));
  const auto plan = make_plan(job);
  ASSERT_TRUE(plan.has_value());
  uint64_t last_done = 0;
  const auto report = run_quantize(job, *plan, [&](const Progress& progress) {
    EXPECT_GE(progress.done, last_done);
    EXPECT_LE(progress.done, progress.total);
    last_done = progress.done;
    if (progress.done > progress.total / 2) request_cancel(SIGINT);
  });
  clear_cancel();
  ASSERT_FALSE(report.has_value());
  EXPECT_EQ(report.error().code, ErrorCode::kCancelled);
  EXPECT_THAT(report.error().message, HasSubstr(folder.path("out.partial")));
  EXPECT_FALSE(std::filesystem::exists(folder.path("out")));
  EXPECT_TRUE(std::filesystem::exists(folder.path("out.partial")));
  EXPECT_EQ(quantized(job).tensors.size(), 62u);
  EXPECT_FALSE(std::filesystem::exists(folder.path("out.partial")));
}

// A checkpoint that another tool quantized with the same arithmetic, but for the tensor scale's
// last place.
TEST(Pipeline, AgreesWithAnotherToolsExport) {
  const std::string exported = test::golden_path("exports/modelopt-nvfp4");
  REQUIRE_GOLDEN(exported);
  const test::TemporaryFolder folder;
  const std::string copy = folder.path("other");
  std::filesystem::create_directory(copy);
  for (const char* name : {"config.json", "hf_quant_config.json", "model.safetensors"}) {
    std::filesystem::create_symlink(exported + "/" + name, copy + "/" + name);
  }
  quantized(nano_job(folder.path("ours")));
  const auto theirs = Checkpoint::open(copy);
  const auto ours = Checkpoint::open(folder.path("ours"));
  ASSERT_TRUE(theirs.has_value()) << theirs.error().to_string();
  ASSERT_TRUE(ours.has_value());
  uint64_t n_bytes = 0;
  uint64_t n_equal = 0;
  uint64_t n_scales = 0;
  uint64_t n_equal_scales = 0;
  for (const TensorInfo& tensor : (*theirs)->tensors()) {
    if (tensor.storage != Storage::kNvfp4) continue;
    const QuantizedMatrixView a = (*theirs)->nvfp4(tensor);
    const QuantizedMatrixView b = (*ours)->nvfp4(*(*ours)->find(tensor.name));
    EXPECT_NEAR(a.tensor_scale / b.tensor_scale, 1.0f, 1e-6f) << tensor.name;
    n_bytes += a.codes.size();
    n_scales += a.scales.size();
    for (size_t i = 0; i < a.codes.size(); ++i) n_equal += a.codes[i] == b.codes[i] ? 1 : 0;
    for (size_t i = 0; i < a.scales.size(); ++i) {
      n_equal_scales += a.scales[i] == b.scales[i] ? 1 : 0;
    }
  }
  const double code_share = static_cast<double>(n_equal) / static_cast<double>(n_bytes);
  const double scale_share = static_cast<double>(n_equal_scales) / static_cast<double>(n_scales);
  RecordProperty("equal_code_bytes", std::to_string(code_share));
  RecordProperty("equal_scales", std::to_string(scale_share));
  EXPECT_GT(code_share, 0.995);
  EXPECT_GT(scale_share, 0.995);
}

TEST(Report, TextAndJsonHoldEveryTensorAndTotals) {
  const test::TemporaryFolder folder;
  const QuantizeReport report = quantized(nano_job(folder.path("out")));
  const Json json = report_json(report);
  EXPECT_EQ(json["tensors"].size(), 62u);
  EXPECT_NEAR(json["total"]["relative_mse"].get<double>(), relative_mse_of(report), 1e-12);
  EXPECT_EQ(json["total"]["n_tensors"], 62);
  const std::string text = report_text(report);
  EXPECT_THAT(text, HasSubstr("layers.7.mlp.down_proj.weight"));
  EXPECT_THAT(text, HasSubstr("mlp output"));
}

}  // namespace
}  // namespace nibble
