// Mixture-of-experts members: against stored references, in pieces, with experts stored together or
// one by one, and on weights that were quantized.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "model/model_test_fixture.h"
#include "model/tensor_table.h"

namespace nibble {
namespace {

using test::max_difference;

constexpr const char* kMoe = "tests/data/model/micro_moe";
constexpr double kTolerance = 2e-3;

class ExpertsTest : public testing::TestWithParam<std::string> {
 protected:
  test::LoadedModel moe(const std::string& folder = test::source_path(kMoe)) const {
    return test::open_model(folder, GetParam());
  }
  TensorFile golden() const {
    return test::open_golden(test::source_path("tests/data/model/micro_moe_golden.safetensors"));
  }
};

void expect_router(const test::Recorder& seen, const TensorFile& file, const std::string& prefix,
                   size_t layer) {
  const std::string ours = "layer." + std::to_string(layer) + ".mlp.router.";
  const std::string theirs = prefix + "router." + std::to_string(layer) + ".";
  EXPECT_LT(max_difference(seen.values.at(ours + "logits"), test::floats(file, theirs + "logits")),
            kTolerance);
  EXPECT_LT(
      max_difference(seen.values.at(ours + "weights"), test::floats(file, theirs + "weights")),
      kTolerance);
  const auto expected = test::ids(file, theirs + "experts");
  EXPECT_EQ(seen.values.at(ours + "experts"), std::vector<float>(expected.begin(), expected.end()));
}

TEST_P(ExpertsTest, MatchTheReference) {
  const auto file = golden();
  const auto loaded = moe();
  ASSERT_NE(loaded.model, nullptr);
  const auto tokens = test::ids(file, "input_ids");
  auto state = loaded.model->new_state(tokens.size()).value();
  test::Recorder seen;
  test::run(*loaded.model, *state, tokens, {512}, &seen);
  for (size_t layer = 0; layer < 2; ++layer) {
    const std::string name = "layer." + std::to_string(layer);
    EXPECT_LT(max_difference(seen.values[name], test::floats(file, "hidden." + name)), 1e-4);
    expect_router(seen, file, "", layer);
  }
}

// The same logits, up to rounding, however the tokens are cut into batches.
TEST_P(ExpertsTest, PrefillAndDecodeAgree) {
  const auto tokens = test::ids(golden(), "input_ids");
  const auto loaded = moe();
  ASSERT_NE(loaded.model, nullptr);
  auto state = loaded.model->new_state(tokens.size()).value();
  const auto at_once = test::run(*loaded.model, *state, tokens);
  for (const std::vector<size_t>& cut : {std::vector<size_t>{1}, {25, 1}, {7, 13}}) {
    auto other = loaded.model->new_state(tokens.size()).value();
    EXPECT_LT(max_difference(test::run(*loaded.model, *other, tokens, cut), at_once), kTolerance);
  }
}

TEST_P(ExpertsTest, AnswerTheSameForAnyNumberOfThreads) {
  const auto tokens = test::ids(golden(), "input_ids");
  std::vector<std::vector<float>> answers;
  for (const size_t n_threads : {1, 2, 5}) {
    const auto backend = make_cpu_backend({n_threads, GetParam()}).value();
    const auto checkpoint = Checkpoint::open(test::source_path(kMoe)).value();
    const auto model = load_model(checkpoint, *backend).value();
    auto state = model->new_state(tokens.size()).value();
    answers.push_back(test::run(*model, *state, tokens));
  }
  EXPECT_EQ(answers[1], answers[0]);
  EXPECT_EQ(answers[2], answers[0]);
}

// Takes the stacks of experts apart into matrices.
void unfuse(test::EditableCheckpoint& edit) {
  std::vector<std::string> stacks;
  for (const auto& entry : edit.tensors) {
    if (entry.first.find(".mlp.experts.") != std::string::npos) stacks.push_back(entry.first);
  }
  for (const std::string& name : stacks) {
    const Tensor stack = std::move(edit.tensors.at(name));
    edit.tensors.erase(name);
    const bool is_input = name.ends_with("gate_up_proj");
    const std::vector<std::string> parts = is_input
                                               ? std::vector<std::string>{"gate_proj", "up_proj"}
                                               : std::vector<std::string>{"down_proj"};
    const uint64_t n_rows = stack.shape()[1] / parts.size();
    const std::string experts = name.substr(0, name.rfind('.'));
    const std::byte* bytes = stack.bytes().data();
    for (uint64_t e = 0; e < stack.shape()[0]; ++e) {
      for (const std::string& part : parts) {
        Tensor matrix = Tensor::zeros(stack.dtype(), {n_rows, stack.shape()[2]}).value();
        std::memcpy(matrix.bytes().data(), bytes, matrix.bytes().size());
        bytes += matrix.bytes().size();
        edit.tensors.emplace(experts + "." + std::to_string(e) + "." + part + ".weight",
                             std::move(matrix));
      }
    }
  }
}

TEST_P(ExpertsTest, AreTheSameStoredTogetherOrOneByOne) {
  test::EditableCheckpoint edit(test::source_path(kMoe));
  unfuse(edit);
  const test::TemporaryFolder folder;
  edit.write(folder.path());
  const auto tokens = test::ids(golden(), "input_ids");
  std::vector<std::vector<float>> answers;
  for (const std::string& path : {test::source_path(kMoe), folder.path()}) {
    const auto loaded = moe(path);
    ASSERT_NE(loaded.model, nullptr);
    auto state = loaded.model->new_state(tokens.size()).value();
    answers.push_back(test::run(*loaded.model, *state, tokens));
  }
  EXPECT_EQ(answers[0], answers[1]);
}

// A token reads two of eight experts.
TEST_P(ExpertsTest, CountTheBytesOfTheExpertsInUse) {
  const auto loaded = moe();
  ASSERT_NE(loaded.model, nullptr);
  const auto checkpoint = Checkpoint::open(test::source_path(kMoe)).value();
  uint64_t expert_bytes = 0;
  uint64_t other_bytes = 0;
  for (const TensorInfo& tensor : checkpoint->tensors()) {
    const bool is_expert = tensor.name.find(".experts.") != std::string::npos;
    (is_expert ? expert_bytes : other_bytes) += tensor.n_bytes;
  }
  const uint64_t counted = loaded.model->bytes_per_token();
  // Small tensors are widened to F32 when loaded.
  EXPECT_GE(counted, other_bytes + expert_bytes / 4);
  EXPECT_LT(counted, other_bytes + expert_bytes / 4 + 16384);
}

TEST_P(ExpertsTest, GoldenMembers) {
  for (const std::string member : {"moe", "moe-unfused"}) {
    SCOPED_TRACE(member);
    REQUIRE_GOLDEN(test::golden_path("micro/" + member));
    const test::TemporaryFolder copy;
    test::link_without_golden(test::golden_path("micro/" + member), copy.path());
    const auto file = test::open_golden(test::golden_path("micro/moe/golden.safetensors"));
    const auto loaded = moe(copy.path());
    ASSERT_NE(loaded.model, nullptr);
    for (const std::string sequence : {"one", "text", "random150"}) {
      const auto tokens = test::ids(file, sequence + ".input_ids");
      auto state = loaded.model->new_state(tokens.size()).value();
      test::Recorder seen;
      const auto logits = test::run(*loaded.model, *state, tokens, {512}, &seen);
      EXPECT_LT(max_difference(logits, test::floats(file, sequence + ".logits")), kTolerance)
          << sequence;
      if (sequence == "random150") {
        state->reset();
        EXPECT_LT(max_difference(test::run(*loaded.model, *state, tokens, {100, 1}), logits),
                  kTolerance);
      }
      if (sequence != "text") continue;
      for (size_t layer = 0; layer < 4; ++layer) {
        const std::string name = "layer." + std::to_string(layer);
        EXPECT_LT(max_difference(seen.values[name], test::floats(file, "text.hidden." + name)),
                  1e-3);
        expect_router(seen, file, "text.", layer);
      }
    }
    const auto greedy = test::ids(file, "text.greedy_ids");
    EXPECT_EQ(
        test::continue_greedily(*loaded.model, test::ids(file, "text.input_ids"), greedy.size()),
        greedy);
  }
}

INSTANTIATE_TEST_SUITE_P(Cpu, ExpertsTest, testing::ValuesIn(test::supported_implementations()));

TEST(Experts, MissingOnesAreNamed) {
  test::EditableCheckpoint edit(test::source_path(kMoe));
  unfuse(edit);
  edit.tensors.erase("model.language_model.layers.1.mlp.experts.5.up_proj.weight");
  const test::TemporaryFolder folder;
  edit.write(folder.path());
  const auto backend = make_cpu_backend({}).value();
  const auto model = load_model(Checkpoint::open(folder.path()).value(), *backend);
  ASSERT_FALSE(model.has_value());
  EXPECT_EQ(model.error().code, ErrorCode::kMismatch);
  EXPECT_NE(model.error().message.find("missing: layers.1.mlp.experts.5.up_proj.weight [32, 64]"),
            std::string::npos);
}

TEST(Experts, StacksOfAnotherShapeAreRefused) {
  test::EditableCheckpoint edit(test::source_path(kMoe));
  const std::string name = "model.language_model.layers.0.mlp.experts.gate_up_proj";
  edit.tensors[name] = Tensor::zeros(DType::kBF16, {7, 64, 64}).value();
  const test::TemporaryFolder folder;
  edit.write(folder.path());
  const auto backend = make_cpu_backend({}).value();
  const auto model = load_model(Checkpoint::open(folder.path()).value(), *backend);
  ASSERT_FALSE(model.has_value());
  EXPECT_EQ(model.error().code, ErrorCode::kMismatch);
  EXPECT_NE(model.error().message.find("layers.0.mlp.experts.7.gate_proj.weight"),
            std::string::npos);
}

}  // namespace
}  // namespace nibble
