// Members of the family other than the bundled model: experts stored together or one by one, tied
// heads, flat configs, folders with weights and config only.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "backend/cpu_backend.h"
#include "checkpoint/tensor_file.h"
#include "model/model.h"
#include "quantize/checkpoint_fixture.h"
#include "quantize/verify.h"

namespace nibble {
namespace {

constexpr const char* kMoe = "tests/data/model/micro_moe";

QuantizeJob job_of(const std::string& source, const std::string& destination) {
  QuantizeJob job = test::nano_job(destination);
  job.source = source;
  return job;
}

// Writes every tensor of the canonical view under its own name: stacks become matrices.
void write_one_by_one(const std::string& source, const std::string& folder) {
  test::fs::create_directories(folder);
  const auto checkpoint = Checkpoint::open(source).value();
  std::vector<NamedTensor> tensors;
  for (const TensorInfo& tensor : checkpoint->tensors()) {
    tensors.push_back({tensor.stored_name, checkpoint->plain(tensor)});
  }
  ASSERT_TRUE(write_tensor_file(folder + "/model.safetensors", tensors).has_value());
  ASSERT_TRUE(
      write_file_atomically(folder + "/config.json", dump_json(checkpoint->config())).has_value());
}

void expect_verified(const std::string& folder, const std::string& source) {
  const auto report = verify_checkpoint(folder, source, 2);
  ASSERT_TRUE(report.has_value()) << report.error().to_string();
  EXPECT_TRUE(report->ok()) << verify_text(*report);
}

// Logits after every token; empty after a failure.
std::vector<float> logits_of(const std::string& folder, const std::vector<int32_t>& tokens) {
  auto backend = make_cpu_backend({2, test::forced_cpu_implementation}).value();
  auto model = load_model(Checkpoint::open(folder).value(), *backend);
  EXPECT_TRUE(model.has_value()) << model.error().to_string();
  if (!model) return {};
  auto state = (*model)->new_state(tokens.size()).value();
  const Segment segment[] = {{state.get(), 0, tokens.size()}};
  std::vector<int32_t> rows(tokens.size());
  for (size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<int32_t>(i);
  std::vector<float> logits(rows.size() * static_cast<size_t>((*model)->config().vocab_size));
  EXPECT_TRUE((*model)->forward({tokens, segment, rows}, logits).has_value());
  return logits;
}

// Mean of the relative squared distance of two lists.
double relative_distance(const std::vector<float>& a, const std::vector<float>& b) {
  double difference = 0.0;
  double sum = 0.0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double d = static_cast<double>(a[i]) - static_cast<double>(b[i]);
    difference += d * d;
    sum += static_cast<double>(a[i]) * static_cast<double>(a[i]);
  }
  return difference / sum;
}

TEST(Members, ExpertsBecomeTheSameBytesHoweverTheyWereStored) {
  const test::TemporaryFolder folder;
  const std::string stacked = test::source_path(kMoe);
  const std::string single = folder.path() + "/single";
  write_one_by_one(stacked, single);
  for (const std::string dialect : {"compressed-tensors", "modelopt"}) {
    SCOPED_TRACE(dialect);
    std::vector<std::string> files;
    for (const std::string& source : {stacked, single}) {
      const std::string out = folder.path() + "/" + dialect + std::to_string(files.size());
      QuantizeJob job = job_of(source, out);
      job.dialect = dialect;
      const QuantizeReport report = test::quantized(job);
      // Five linears of a DeltaNet layer, the shared expert, eight experts.
      EXPECT_EQ(report.tensors.size(), 2u * (5 + 3 + 8 * 3));
      expect_verified(out, source);
      files.push_back(read_file(out + "/model.safetensors").value());
    }
    EXPECT_TRUE(files[0] == files[1]);
  }
}

TEST(Members, QuantizedExpertsAreMatricesThatRun) {
  const test::TemporaryFolder folder;
  const std::string source = test::source_path(kMoe);
  const std::string out = folder.path() + "/out";
  QuantizeJob job = job_of(source, out);
  job.recipe = "mlp";
  test::quantized(job);
  const auto checkpoint = Checkpoint::open(out).value();
  for (int expert = 0; expert < 8; ++expert) {
    const std::string prefix = "layers.1.mlp.experts." + std::to_string(expert) + ".";
    const TensorInfo* gate = checkpoint->find(prefix + "gate_proj.weight");
    const TensorInfo* up = checkpoint->find(prefix + "up_proj.weight");
    const TensorInfo* down = checkpoint->find(prefix + "down_proj.weight");
    ASSERT_TRUE(gate != nullptr && up != nullptr && down != nullptr);
    EXPECT_EQ(gate->storage, Storage::kNvfp4);
    EXPECT_EQ(down->storage, Storage::kNvfp4);
    EXPECT_EQ(gate->shape, (Shape{32, 64}));
    EXPECT_EQ(down->shape, (Shape{64, 32}));
    EXPECT_EQ(checkpoint->nvfp4(*gate).tensor_scale, checkpoint->nvfp4(*up).tensor_scale);
  }
  EXPECT_EQ(checkpoint->find("layers.1.mlp.shared_expert.up_proj.weight")->storage,
            Storage::kNvfp4);
  for (const char* kept : {"layers.1.mlp.gate.weight", "layers.1.mlp.shared_expert_gate.weight",
                           "layers.1.linear_attn.out_proj.weight", "embed_tokens.weight"}) {
    EXPECT_EQ(checkpoint->find(kept)->storage, Storage::kPlain) << kept;
  }
  const std::vector<int32_t> tokens = {84, 104, 101, 32, 113, 117, 105, 99, 107};
  const double distance = relative_distance(logits_of(source, tokens), logits_of(out, tokens));
  EXPECT_GT(distance, 0.0);
  EXPECT_LT(distance, 0.25);
}

TEST(Members, OneExpertCanBeKept) {
  const test::TemporaryFolder folder;
  QuantizeJob job = job_of(test::source_path(kMoe), folder.path() + "/out");
  job.ignore = {"re:.*layers\\.0\\.mlp\\.experts\\.3\\.(gate|up|down)_proj$"};
  test::quantized(job);
  expect_verified(job.destination, job.source);
  const auto checkpoint = Checkpoint::open(job.destination).value();
  EXPECT_EQ(checkpoint->find("layers.0.mlp.experts.3.up_proj.weight")->storage, Storage::kPlain);
  EXPECT_EQ(checkpoint->find("layers.0.mlp.experts.4.up_proj.weight")->storage, Storage::kNvfp4);
}

// Blocks of GGUF hold 64 values, and the experts' intermediate size is 32.
TEST(Members, MatricesTooNarrowForGgufAreKept) {
  const test::TemporaryFolder folder;
  QuantizeJob job = job_of(test::source_path(kMoe), folder.path() + "/out.gguf");
  job.dialect = "gguf";
  test::quantized(job);
  const auto checkpoint = Checkpoint::open(job.destination).value();
  const auto is_nvfp4 = [&](const std::string& name) {
    const TensorInfo* tensor = checkpoint->find(name);
    EXPECT_NE(tensor, nullptr) << name;
    return tensor != nullptr && storage_name(*tensor) == "NVFP4";
  };
  EXPECT_FALSE(is_nvfp4("layers.0.mlp.experts.3.down_proj.weight"));
  EXPECT_FALSE(is_nvfp4("layers.0.mlp.shared_expert.down_proj.weight"));
  EXPECT_TRUE(is_nvfp4("layers.0.mlp.experts.3.up_proj.weight"));
  EXPECT_TRUE(is_nvfp4("layers.0.linear_attn.out_proj.weight"));
  const std::vector<int32_t> tokens = {84, 104, 101, 32, 113};
  const auto logits = logits_of(job.destination, tokens);
  EXPECT_LT(relative_distance(logits_of(job.source, tokens), logits), 0.25);
}

// The plan lists what is written, not what is read.
TEST(Members, PlanHasARowForEveryMatrixOfAStack) {
  const test::TemporaryFolder folder;
  const auto plan = make_plan(job_of(test::source_path(kMoe), folder.path() + "/out"));
  ASSERT_TRUE(plan.has_value()) << plan.error().to_string();
  size_t n_experts = 0;
  for (const PlanRow& row : plan->rows) {
    n_experts += row.tensor->name.find(".mlp.experts.") != std::string::npos ? 1 : 0;
  }
  EXPECT_EQ(n_experts, 2u * 8 * 3);
  EXPECT_NE(plan_text(*plan).find("layers.1.mlp.experts.7.down_proj.weight"), std::string::npos);
}

TEST(Members, StoredHeadOfATiedModelIsCarried) {
  const test::TemporaryFolder folder;
  const std::string source = folder.path() + "/source";
  test::fs::create_directories(source);
  const auto original = Checkpoint::open(test::source_path(kMoe)).value();
  std::vector<NamedTensor> tensors;
  for (const TensorInfo& tensor : original->tensors()) {
    tensors.push_back({tensor.stored_name, original->plain(tensor)});
  }
  tensors.push_back({"lm_head.weight", original->plain(*original->find("embed_tokens.weight"))});
  ASSERT_TRUE(write_tensor_file(source + "/model.safetensors", tensors).has_value());
  ASSERT_TRUE(
      write_file_atomically(source + "/config.json", dump_json(original->config())).has_value());
  QuantizeJob job = job_of(source, folder.path() + "/out");
  test::quantized(job);
  expect_verified(job.destination, source);
  const auto checkpoint = Checkpoint::open(job.destination).value();
  ASSERT_NE(checkpoint->find("lm_head.weight"), nullptr);
  EXPECT_EQ(checkpoint->find("lm_head.weight")->storage, Storage::kPlain);
  const std::vector<int32_t> tokens = {5, 6, 7};
  EXPECT_EQ(logits_of(source, tokens), logits_of(test::source_path(kMoe), tokens));
  job.destination = folder.path() + "/other";
  job.head = "nvfp4";
  EXPECT_EQ(test::failure(job).code, ErrorCode::kInvalidArgument);
}

// Every random member of the larger set, in both dialects, with and without activation scales.
TEST(Members, OfTheGoldenSetAreQuantizedVerifiedAndRun) {
  const std::vector<int32_t> tokens = {84, 104, 101, 32, 113};
  for (const std::string member :
       {"r1-tied", "r3", "text-only", "moe", "moe-unfused", "layer-types", "interval2"}) {
    SCOPED_TRACE(member);
    REQUIRE_GOLDEN(test::golden_path("micro/" + member));
    const test::TemporaryFolder folder;
    const std::string source = folder.path() + "/source";
    test::fs::create_directories(source);
    for (const auto& file : test::fs::directory_iterator(test::golden_path("micro/" + member))) {
      const std::string name = file.path().filename().string();
      if (name != "golden.safetensors") test::fs::create_symlink(file.path(), source + "/" + name);
    }
    for (const auto& [dialect, recipe] : {std::pair<std::string, std::string>{"modelopt", "all"},
                                          {"compressed-tensors", "portable"}}) {
      QuantizeJob job = job_of(source, folder.path() + "/" + dialect);
      job.dialect = dialect;
      job.recipe = recipe;
      job.calibration.n_samples = 1;
      job.calibration.n_tokens = 32;
      job.calibration.cpu_implementation = test::forced_cpu_implementation;
      test::quantized(job);
      expect_verified(job.destination, source);
      const auto logits = logits_of(job.destination, tokens);
      EXPECT_LT(relative_distance(logits_of(source, tokens), logits), 1.0);
      const auto checkpoint = Checkpoint::open(job.destination).value();
      size_t n_static = 0;
      for (const TensorInfo& tensor : checkpoint->tensors()) {
        if (tensor.storage != Storage::kNvfp4) continue;
        n_static += checkpoint->nvfp4(tensor).input_scale ? 1 : 0;
      }
      EXPECT_EQ(n_static > 0, recipe == "portable");
    }
  }
}

}  // namespace
}  // namespace nibble
