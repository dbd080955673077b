// The forward pass against the reference library on small cases that are part of the tree: one
// random member of the family with three value heads per key head, and the bundled model.
#include <gtest/gtest.h>

#include <algorithm>

#include "model/model_test_fixture.h"

namespace nibble {
namespace {

using test::max_difference;

const char* const kMicro = "tests/data/model/micro_r3";
const char* const kMicroGolden = "tests/data/model/micro_r3_golden.safetensors";

class ForwardTest : public testing::TestWithParam<std::string> {};

TEST_P(ForwardTest, GivesTheReferenceOnARandomModel) {
  const auto golden = test::open_golden(test::source_path(kMicroGolden));
  auto loaded = test::open_model(test::source_path(kMicro), GetParam());
  ASSERT_NE(loaded.model, nullptr);
  const auto tokens = test::ids(golden, "text.input_ids");
  auto state = loaded.model->new_state(tokens.size()).value();
  test::Recorder seen;
  const auto logits = test::run(*loaded.model, *state, tokens, {512}, &seen);

  EXPECT_LT(max_difference(logits, test::floats(golden, "text.logits")), 2e-3);
  EXPECT_EQ(seen.values["embed"], test::floats(golden, "text.hidden.embed"));
  for (const std::string layer : {"layer.0", "layer.1", "layer.2", "layer.3", "final_norm"}) {
    EXPECT_LT(max_difference(seen.values[layer], test::floats(golden, "text.hidden." + layer)),
              1e-3)
        << layer;
  }
  EXPECT_LT(
      max_difference(state->read(3, "key").value(), test::floats(golden, "text.state.layer.3.key")),
      1e-3);
  EXPECT_LT(max_difference(state->read(3, "value").value(),
                           test::floats(golden, "text.state.layer.3.value")),
            1e-3);
}

TEST_P(ForwardTest, ContinuesGreedilyAsTheReference) {
  const auto golden = test::open_golden(test::source_path(kMicroGolden));
  auto loaded = test::open_model(test::source_path(kMicro), GetParam());
  ASSERT_NE(loaded.model, nullptr);
  const auto expected = test::ids(golden, "text.greedy_ids");
  EXPECT_EQ(
      test::continue_greedily(*loaded.model, test::ids(golden, "text.input_ids"), expected.size()),
      expected);
}

TEST_P(ForwardTest, GivesTheReferenceOnTheBundledModel) {
  const auto golden =
      test::open_golden(test::source_path("tests/data/model/nano_prose64_golden.safetensors"));
  auto loaded = test::open_model(test::source_path("models/nano"), GetParam());
  ASSERT_NE(loaded.model, nullptr);
  const auto tokens = test::ids(golden, "input_ids");
  auto state = loaded.model->new_state(tokens.size()).value();
  test::Recorder seen;
  const auto logits = test::run(*loaded.model, *state, tokens, {512}, &seen);

  EXPECT_LT(max_difference(seen.values["final_norm"], test::floats(golden, "final_norm")), 1e-4);
  const auto vocab_size = static_cast<size_t>(loaded.model->config().vocab_size);
  std::vector<float> picked;
  for (const int32_t position : test::ids(golden, "positions")) {
    const float* row = logits.data() + static_cast<size_t>(position) * vocab_size;
    picked.insert(picked.end(), row, row + vocab_size);
  }
  EXPECT_LT(max_difference(picked, test::floats(golden, "logits")), 1e-4);
}

// Whatever the cut of a sequence into batches, logits and states are those of one batch.
TEST_P(ForwardTest, DoesNotDependOnTheCutIntoBatches) {
  const auto golden =
      test::open_golden(test::source_path("tests/data/model/nano_prose64_golden.safetensors"));
  auto loaded = test::open_model(test::source_path("models/nano"), GetParam());
  ASSERT_NE(loaded.model, nullptr);
  const auto tokens = test::ids(golden, "input_ids");
  auto whole_state = loaded.model->new_state(tokens.size()).value();
  const auto whole = test::run(*loaded.model, *whole_state, tokens);

  const std::vector<std::vector<size_t>> cuts = {{1}, {2}, {3}, {63, 1}, {1, 63}, {40, 1}, {17}};
  auto state = loaded.model->new_state(tokens.size() + 9).value();
  for (const auto& cut : cuts) {
    state->reset();
    const auto logits = test::run(*loaded.model, *state, tokens, cut);
    EXPECT_LT(max_difference(logits, whole), 1e-4);
    EXPECT_EQ(state->n_tokens(), tokens.size());
    const std::pair<const char*, double> parts[] = {
        {"recurrent", 5e-6}, {"conv", 5e-5}, {"key", 5e-5}, {"value", 5e-5}};
    for (const auto& [part, tolerance] : parts) {
      const size_t layer = std::string(part) == "key" || std::string(part) == "value" ? 7 : 6;
      EXPECT_LT(
          max_difference(state->read(layer, part).value(), whole_state->read(layer, part).value()),
          tolerance)
          << part << ", first batch of " << cut[0];
    }
  }
}

// Sequences that share batches do not see each other, whatever their lengths and positions.
TEST_P(ForwardTest, KeepsSequencesOfOneBatchApart) {
  const auto golden =
      test::open_golden(test::source_path("tests/data/model/nano_prose64_golden.safetensors"));
  auto loaded = test::open_model(test::source_path("models/nano"), GetParam());
  ASSERT_NE(loaded.model, nullptr);
  Model& model = *loaded.model;
  const auto vocab_size = static_cast<size_t>(model.config().vocab_size);
  const auto first = test::ids(golden, "input_ids");
  const std::vector<int32_t> second(first.rbegin(), first.rend() - 20);
  auto alone_state = model.new_state(64).value();
  const auto first_alone = test::run(model, *alone_state, first);
  const auto first_recurrent = alone_state->read(0, "recurrent").value();
  alone_state->reset();
  const auto second_alone = test::run(model, *alone_state, second);
  const auto second_conv = alone_state->read(0, "conv").value();

  auto a = model.new_state(64).value();
  auto b = model.new_state(100).value();
  test::run(model, *a, std::span(first).first(10));
  // 54 rows of a, then 44 of b, then nothing else: logits of every row.
  std::vector<int32_t> tokens(first.begin() + 10, first.end());
  tokens.insert(tokens.end(), second.begin(), second.end());
  std::vector<int32_t> rows(tokens.size());
  for (size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<int32_t>(i);
  std::vector<float> logits(rows.size() * vocab_size);
  const Segment segments[] = {{a.get(), 0, 54}, {b.get(), 54, second.size()}};
  ASSERT_TRUE(model.forward({tokens, segments, rows}, logits).has_value());

  const std::span<const float> all = logits;
  EXPECT_LT(
      max_difference(all.first(54 * vocab_size), std::span(first_alone).subspan(10 * vocab_size)),
      1e-4);
  EXPECT_LT(max_difference(all.subspan(54 * vocab_size), second_alone), 1e-4);
  EXPECT_LT(max_difference(a->read(0, "recurrent").value(), first_recurrent), 5e-6);
  EXPECT_LT(max_difference(b->read(0, "conv").value(), second_conv), 5e-5);
}

TEST_P(ForwardTest, ComputesOnlyTheLogitsThatAreAskedFor) {
  auto loaded = test::open_model(test::source_path(kMicro), GetParam());
  ASSERT_NE(loaded.model, nullptr);
  const std::vector<int32_t> tokens = {5, 6, 7, 8, 9};
  auto state = loaded.model->new_state(5).value();
  const auto all = test::run(*loaded.model, *state, tokens);
  state->reset();
  const int32_t rows[] = {1, 4};
  const auto vocab_size = static_cast<size_t>(loaded.model->config().vocab_size);
  std::vector<float> some(2 * vocab_size);
  const Segment segment[] = {{state.get(), 0, 5}};
  ASSERT_TRUE(loaded.model->forward({tokens, segment, rows}, some).has_value());
  const std::span<const float> expected = all;
  EXPECT_LT(
      max_difference(std::span(some).first(vocab_size), expected.subspan(vocab_size, vocab_size)),
      1e-5);
  EXPECT_LT(max_difference(std::span(some).subspan(vocab_size),
                           expected.subspan(4 * vocab_size, vocab_size)),
            1e-5);
}

INSTANTIATE_TEST_SUITE_P(Cpu, ForwardTest, testing::ValuesIn(test::supported_implementations()));

// Which batches are refused, with the state left as it was.
TEST(Forward, RefusesImpossibleBatches) {
  auto loaded = test::open_model(test::source_path(kMicro), "scalar", 8);
  auto other = test::open_model(test::source_path(kMicro), "scalar", 8);
  ASSERT_NE(loaded.model, nullptr);
  Model& model = *loaded.model;
  auto state = model.new_state(6).value();
  auto foreign = other.model->new_state(6).value();
  const auto try_batch = [&](std::vector<int32_t> tokens, std::vector<Segment> segments,
                             std::vector<int32_t> rows, size_t n_logits) {
    std::vector<float> logits(n_logits);
    const Status status = model.forward({tokens, segments, rows}, logits);
    return status ? std::string() : status.error().message;
  };
  SequenceState* s = state.get();
  EXPECT_NE(try_batch({}, {}, {}, 0), "");
  EXPECT_NE(try_batch({1, 2, 3, 4, 5, 6, 7, 8, 9}, {{s, 0, 9}}, {}, 0), "");
  EXPECT_NE(try_batch({1, 2, 3, 4, 5, 6, 7}, {{s, 0, 7}}, {}, 0), "");
  EXPECT_NE(try_batch({-1}, {{s, 0, 1}}, {}, 0), "");
  EXPECT_NE(try_batch({272}, {{s, 0, 1}}, {}, 0), "");
  EXPECT_NE(try_batch({1, 2}, {{s, 0, 1}}, {}, 0), "");
  EXPECT_NE(try_batch({1, 2}, {{s, 0, 1}, {s, 1, 1}}, {}, 0), "");
  EXPECT_NE(try_batch({1, 2}, {{s, 1, 1}}, {}, 0), "");
  EXPECT_NE(try_batch({1}, {{foreign.get(), 0, 1}}, {}, 0), "");
  EXPECT_NE(try_batch({1}, {{nullptr, 0, 1}}, {}, 0), "");
  EXPECT_NE(try_batch({1, 2}, {{s, 0, 2}}, {1, 0}, 544), "");
  EXPECT_NE(try_batch({1, 2}, {{s, 0, 2}}, {2}, 272), "");
  EXPECT_NE(try_batch({1, 2}, {{s, 0, 2}}, {1}, 271), "");
  EXPECT_EQ(state->n_tokens(), 0u);
  EXPECT_EQ(try_batch({1, 2}, {{s, 0, 2}}, {1}, 272), "");
  EXPECT_EQ(state->n_tokens(), 2u);
  EXPECT_FALSE(state->read(0, "key").has_value());
  EXPECT_FALSE(state->read(9, "conv").has_value());
  EXPECT_EQ(state->read(3, "key").value().size(), 2u * 256u);
}

}  // namespace
}  // namespace nibble
