// Sampling: filters and penalties by hand, distributions by counting, the same tokens by seed.
#include "engine/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <vector>

namespace nibble {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Draws that start from the same logits every time, without their influence on each other.
std::map<int32_t, int> count_draws(const SamplingParams& params, const std::vector<float>& logits,
                                   int n_draws) {
  Sampler sampler(params, logits.size(), {});
  std::map<int32_t, int> counts;
  for (int i = 0; i < n_draws; ++i) {
    std::vector<float> copy = logits;
    ++counts[sampler.sample(copy)];
  }
  return counts;
}

std::vector<float> log_of(std::vector<float> probabilities) {
  for (float& p : probabilities) p = std::log(p);
  return probabilities;
}

int32_t sample_once(const SamplingParams& params, std::vector<float> logits,
                    std::vector<int32_t> prompt = {}) {
  return Sampler(params, logits.size(), prompt).sample(logits);
}

TEST(Sampler, IsGreedyAtTemperatureZero) {
  EXPECT_EQ(sample_once({}, {0.0f, 3.0f, 2.0f}), 1);
  EXPECT_EQ(sample_once({}, {-5.0f, -3.0f, -3.0f}), 1);  // the lower id of equals
  SamplingParams nearly;
  nearly.temperature = 1e-6f;
  EXPECT_EQ(sample_once(nearly, {0.0f, 3.0f, 3.0f}), 1);
}

TEST(Sampler, DrawsByProbability) {
  SamplingParams params;
  params.temperature = 1.0f;
  params.seed = 11;
  constexpr int kDraws = 40000;
  const auto counts = count_draws(params, log_of({0.5f, 0.3f, 0.15f, 0.05f}), kDraws);
  const double expected[] = {0.5, 0.3, 0.15, 0.05};
  for (int32_t token = 0; token < 4; ++token) {
    // Five standard deviations.
    EXPECT_NEAR(counts.at(token) / double{kDraws}, expected[token], 0.0125) << token;
  }
}

TEST(Sampler, TemperatureSharpensAndFlattens) {
  SamplingParams params;
  params.seed = 3;
  params.temperature = 0.5f;  // squares the odds: 4 to 1
  auto counts = count_draws(params, log_of({0.5f, 0.25f}), 20000);
  EXPECT_NEAR(counts[0] / 20000.0, 0.8, 0.015);
  params.temperature = 2.0f;  // square roots of the odds
  counts = count_draws(params, log_of({0.5f, 0.25f}), 20000);
  EXPECT_NEAR(counts[0] / 20000.0, std::sqrt(2.0) / (1.0 + std::sqrt(2.0)), 0.018);
  params.temperature = std::numeric_limits<float>::max();
  counts = count_draws(params, {-80.0f, 80.0f}, 20000);
  EXPECT_NEAR(counts[0] / 20000.0, 0.5, 0.018);
}

TEST(Sampler, TopKKeepsTheMostProbableAndLowIdsOfEquals) {
  SamplingParams params;
  params.temperature = 1.0f;
  params.top_k = 2;
  const auto counts = count_draws(params, {1.0f, 2.0f, 1.0f, 1.0f}, 3000);
  EXPECT_EQ(counts.size(), 2u);
  EXPECT_TRUE(counts.count(0) == 1 && counts.count(1) == 1);
  params.top_k = 1;
  EXPECT_EQ(count_draws(params, {1.0f, 2.0f, 2.0f}, 100).size(), 1u);
  params.top_k = -1;
  EXPECT_EQ(count_draws(params, {1.0f, 2.0f, 1.0f, 1.0f}, 3000).size(), 4u);
  params.top_k = 1000;
  EXPECT_EQ(count_draws(params, {1.0f, 2.0f, 1.0f, 1.0f}, 3000).size(), 4u);
}

TEST(Sampler, TopPKeepsTheFewestThatReachIt) {
  SamplingParams params;
  params.temperature = 1.0f;
  const auto logits = log_of({0.15f, 0.5f, 0.05f, 0.3f});
  params.top_p = 0.49f;
  EXPECT_EQ(count_draws(params, logits, 2000).size(), 1u);
  params.top_p = 0.6f;
  auto counts = count_draws(params, logits, 20000);
  EXPECT_EQ(counts.size(), 2u);
  EXPECT_NEAR(counts[1] / 20000.0, 0.5 / 0.8, 0.018);
  params.top_p = 0.9f;
  EXPECT_EQ(count_draws(params, logits, 2000).size(), 3u);
  params.top_p = 1e-30f;
  EXPECT_EQ(count_draws(params, logits, 200).size(), 1u);
}

// After top-k of two, 0.5 and 0.3 are 0.625 and 0.375.
TEST(Sampler, TopPSeesTheProbabilitiesLeftByTopK) {
  SamplingParams params;
  params.temperature = 1.0f;
  params.top_k = 2;
  params.top_p = 0.6f;
  const auto logits = log_of({0.15f, 0.5f, 0.05f, 0.3f});
  EXPECT_EQ(count_draws(params, logits, 1000).size(), 1u);
}

TEST(Sampler, MinPIsRelativeToTheMostProbable) {
  SamplingParams params;
  params.temperature = 1.0f;
  const auto logits = log_of({0.5f, 0.3f, 0.15f, 0.05f});
  params.min_p = 0.2f;  // at least 0.1
  EXPECT_EQ(count_draws(params, logits, 2000).size(), 3u);
  params.min_p = 0.55f;
  EXPECT_EQ(count_draws(params, logits, 2000).size(), 2u);
  params.min_p = 1.0f;
  EXPECT_EQ(count_draws(params, logits, 200).size(), 1u);
}

TEST(Sampler, RepetitionPenaltyCountsPromptAndOutput) {
  SamplingParams params;
  params.repetition_penalty = 2.0f;
  // 3 / 2 < 2 for a token of the prompt; -1 * 2 < -1.5 for one with a negative logit.
  EXPECT_EQ(sample_once(params, {3.0f, 2.0f}, {0}), 1);
  EXPECT_EQ(sample_once(params, {-1.0f, -1.5f}, {0}), 1);
  EXPECT_EQ(sample_once(params, {5.0f, 2.0f}, {0, 0, 0}), 0);  // once, however often it occurs
  Sampler sampler(params, 2, {});
  std::vector<float> logits = {3.0f, 2.0f};
  EXPECT_EQ(sampler.sample(logits), 0);
  logits = {3.0f, 2.0f};
  EXPECT_EQ(sampler.sample(logits), 1);
  EXPECT_FLOAT_EQ(logits[0], 1.5f);
}

TEST(Sampler, PresenceAndFrequencyCountTheOutputOnly) {
  SamplingParams params;
  params.presence_penalty = 0.5f;
  params.frequency_penalty = 0.25f;
  const std::vector<int32_t> prompt = {0, 0, 1};
  Sampler sampler(params, 3, prompt);
  std::vector<float> logits = {3.0f, 0.0f, -1.0f};
  EXPECT_EQ(sampler.sample(logits), 0);
  EXPECT_EQ(logits, (std::vector<float>{3.0f, 0.0f, -1.0f}));
  logits = {3.0f, 0.0f, -1.0f};
  EXPECT_EQ(sampler.sample(logits), 0);
  EXPECT_EQ(logits, (std::vector<float>{2.25f, 0.0f, -1.0f}));
  logits = {3.0f, 0.0f, -1.0f};
  EXPECT_EQ(sampler.sample(logits), 0);
  EXPECT_EQ(logits, (std::vector<float>{2.0f, 0.0f, -1.0f}));
}

// Repetition first: 4 / 2 - 0.5, and not (4 - 0.5) / 2.
TEST(Sampler, AppliesPenaltiesInOrder) {
  SamplingParams params;
  params.repetition_penalty = 2.0f;
  params.presence_penalty = 0.5f;
  Sampler sampler(params, 2, {});
  std::vector<float> logits = {4.0f, 0.0f};
  sampler.sample(logits);
  logits = {4.0f, 0.0f};
  sampler.sample(logits);
  EXPECT_FLOAT_EQ(logits[0], 1.5f);
}

TEST(Sampler, IgnoresTokensOfThePromptThatTheHeadLacks) {
  SamplingParams params;
  params.repetition_penalty = 2.0f;
  EXPECT_EQ(sample_once(params, {1.0f, 2.0f}, {-1, 2, 2147483647}), 1);
}

TEST(Sampler, NeverPicksIdsBeyondTheVocabulary) {
  SamplingParams params;
  for (const float temperature : {0.0f, 5.0f}) {
    params.temperature = temperature;
    Sampler sampler(params, 2, {});
    for (int i = 0; i < 200; ++i) {
      std::vector<float> logits = {0.0f, 0.0f, 50.0f, 50.0f};
      EXPECT_LT(sampler.sample(logits), 2);
    }
  }
}

TEST(Sampler, NeverPicksNan) {
  SamplingParams params;
  for (const float temperature : {0.0f, 1.0f}) {
    params.temperature = temperature;
    EXPECT_EQ(sample_once(params, {kNan, -4.0f, kNan}), 1);
    EXPECT_EQ(sample_once(params, {-kInfinity, -4.0f, kNan}), 1);
    EXPECT_EQ(sample_once(params, {1.0f, kInfinity, 2.0f}), 1);
    EXPECT_EQ(sample_once(params, {kNan, kNan}), 0);
    EXPECT_EQ(sample_once(params, {-kInfinity, -kInfinity}), 0);
    EXPECT_EQ(sample_once(params, {}), 0);
  }
}

TEST(Sampler, RepeatsItselfBySeed) {
  SamplingParams params;
  params.temperature = 1.0f;
  params.top_p = 0.98f;
  params.frequency_penalty = 0.1f;
  std::vector<float> logits(1000);
  for (size_t i = 0; i < logits.size(); ++i) logits[i] = std::sin(static_cast<float>(i * i));
  const auto draw = [&](uint64_t seed) {
    params.seed = seed;
    Sampler sampler(params, logits.size(), {});
    std::vector<int32_t> tokens;
    for (int i = 0; i < 50; ++i) {
      std::vector<float> copy = logits;
      tokens.push_back(sampler.sample(copy));
    }
    return tokens;
  };
  EXPECT_EQ(draw(1), draw(1));
  EXPECT_NE(draw(1), draw(2));
  EXPECT_NE(draw(0), draw(1));
}

// Pinned values: a change of generator or of the filters' arithmetic shows here.
TEST(Sampler, GivesTheSameTokensOnEveryMachine) {
  SamplingParams params;
  params.temperature = 0.8f;
  params.top_k = 20;
  params.top_p = 0.95f;
  params.seed = 42;
  std::vector<float> logits(64);
  for (size_t i = 0; i < logits.size(); ++i) logits[i] = static_cast<float>((i * 37) % 64) / 8.0f;
  Sampler sampler(params, logits.size(), {});
  std::vector<int32_t> tokens;
  for (int i = 0; i < 12; ++i) {
    std::vector<float> copy = logits;
    tokens.push_back(sampler.sample(copy));
  }
  EXPECT_EQ(tokens, (std::vector<int32_t>{48, 12, 19, 19, 5, 57, 19, 50, 19, 38, 17, 31}));
}

TEST(CheckSampling, NamesTheFieldThatIsOutOfRange) {
  EXPECT_TRUE(check_sampling({}).has_value());
  const auto expect_refused = [](const char* field, auto set) {
    SamplingParams params;
    set(params);
    const Status status = check_sampling(params);
    ASSERT_FALSE(status.has_value()) << field;
    EXPECT_EQ(status.error().code, ErrorCode::kInvalidArgument);
    EXPECT_NE(status.error().message.find(field), std::string::npos);
    EXPECT_NE(status.error().message.find("expected"), std::string::npos);
  };
  for (const float bad : {-0.1f, kNan, kInfinity}) {
    expect_refused("temperature", [&](SamplingParams& p) { p.temperature = bad; });
    expect_refused("min_p", [&](SamplingParams& p) { p.min_p = bad; });
    expect_refused("top_p", [&](SamplingParams& p) { p.top_p = bad; });
    expect_refused("repetition_penalty", [&](SamplingParams& p) { p.repetition_penalty = bad; });
  }
  expect_refused("top_p", [](SamplingParams& p) { p.top_p = 0.0f; });
  expect_refused("top_p", [](SamplingParams& p) { p.top_p = 1.01f; });
  expect_refused("min_p", [](SamplingParams& p) { p.min_p = 1.5f; });
  expect_refused("repetition_penalty", [](SamplingParams& p) { p.repetition_penalty = 0.0f; });
  expect_refused("presence_penalty", [](SamplingParams& p) { p.presence_penalty = 2.5f; });
  expect_refused("frequency_penalty", [](SamplingParams& p) { p.frequency_penalty = kNan; });
  expect_refused("top_k", [](SamplingParams& p) { p.top_k = -2; });
}

}  // namespace
}  // namespace nibble
