#include "bench/statistics/logit_row.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace nibble {
namespace {

/// The definitions, written down in F64 with the standard library.
double plain_log_sum_exp(const std::vector<float>& logits) {
  double maximum = logits[0];
  for (const float logit : logits) maximum = std::max(maximum, static_cast<double>(logit));
  double sum = 0.0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - maximum);
  return maximum + std::log(sum);
}

double plain_kl_divergence(const std::vector<float>& base, const std::vector<float>& other) {
  const double base_lse = plain_log_sum_exp(base);
  const double other_lse = plain_log_sum_exp(other);
  double sum = 0.0;
  for (size_t i = 0; i < base.size(); ++i) {
    const double ln_p = static_cast<double>(base[i]) - base_lse;
    if (ln_p > -16.0) {
      sum += std::exp(ln_p) * (ln_p - (static_cast<double>(other[i]) - other_lse));
    }
  }
  return sum;
}

std::vector<float> random_logits(size_t n, float scale, uint32_t seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0.0f, scale);
  std::vector<float> logits(n);
  for (float& logit : logits) logit = normal(generator);
  return logits;
}

TEST(LogitRow, HandExample) {
  // Probabilities 1/2, 1/4, 1/4 against 1/4, 1/2, 1/4: (1/2) ln 2 - (1/4) ln 2 = 0.1733.
  const std::vector<float> base = {std::log(2.0f), 0.0f, 0.0f};
  const std::vector<float> other = {5.0f, 5.0f + std::log(2.0f), 5.0f};
  const LogitRow p = summarize_row(base);
  const LogitRow q = summarize_row(other);
  EXPECT_EQ(p.argmax, 0u);
  EXPECT_EQ(q.argmax, 1u);
  EXPECT_NEAR(p.nll(0), std::log(2.0), 1e-6);
  EXPECT_NEAR(q.nll(2), std::log(4.0), 1e-6);
  EXPECT_NEAR(kl_divergence(p, q), 0.25 * std::log(2.0), 1e-6);
}

TEST(LogitRow, AgreesWithTheStandardLibraryForAllLengths) {
  for (const size_t n : {1u, 2u, 15u, 16u, 17u, 33u, 1000u, 8192u}) {
    for (const float scale : {0.1f, 3.0f, 12.0f}) {
      const auto base = random_logits(n, scale, static_cast<uint32_t>(n));
      const auto other = random_logits(n, scale, static_cast<uint32_t>(n) + 1);
      const LogitRow p = summarize_row(base);
      const LogitRow q = summarize_row(other);
      EXPECT_NEAR(p.log_sum_exp, plain_log_sum_exp(base), 1e-6) << n << " " << scale;
      const double expected = plain_kl_divergence(base, other);
      EXPECT_NEAR(kl_divergence(p, q), expected, 2e-6 * (1.0 + expected)) << n << " " << scale;
    }
  }
}

TEST(LogitRow, SmallDivergencesKeepTheirDigits) {
  const auto base = random_logits(8192, 4.0f, 1);
  auto other = base;
  const auto noise = random_logits(8192, 0.01f, 2);
  for (size_t i = 0; i < other.size(); ++i) other[i] += noise[i];
  const double expected = plain_kl_divergence(base, other);
  ASSERT_GT(expected, 1e-6);
  EXPECT_NEAR(kl_divergence(summarize_row(base), summarize_row(other)) / expected, 1.0, 1e-4);
}

TEST(LogitRow, EqualRowsDivergeByZero) {
  const auto logits = random_logits(1001, 5.0f, 3);
  EXPECT_EQ(kl_divergence(summarize_row(logits), summarize_row(logits)), 0.0);
}

TEST(LogitRow, RareEntriesOfTheBaseAreLeftOut) {
  // Entry 1 has ln p_base just below -16 and would add its own huge ratio.
  const std::vector<float> base = {0.0f, -16.01f};
  const std::vector<float> other = {0.0f, -80.0f};
  const double kept_only = 1.0 * (0.0 - std::log1p(std::exp(-16.01)));
  EXPECT_NEAR(kl_divergence(summarize_row(base), summarize_row(other)), kept_only, 1e-9);
}

TEST(LogitRow, TheFirstOfEqualMaximaWins) {
  std::vector<float> logits(40, 1.0f);
  logits[19] = 2.0f;
  logits[37] = 2.0f;
  EXPECT_EQ(summarize_row(logits).argmax, 19u);
}

TEST(LogitRow, ExtremeButFiniteLogits) {
  const std::vector<float> logits = {-3e38f, 3e38f, 0.0f};
  const LogitRow row = summarize_row(logits);
  EXPECT_EQ(row.argmax, 1u);
  EXPECT_EQ(row.nll(1), 0.0);
}

TEST(LogitRow, DamageShowsInTheSum) {
  for (const size_t place : {0u, 5u, 20u}) {
    std::vector<float> logits(21, 0.5f);
    logits[place] = std::numeric_limits<float>::quiet_NaN();
    EXPECT_FALSE(std::isfinite(summarize_row(logits).log_sum_exp)) << place;
    logits[place] = std::numeric_limits<float>::infinity();
    EXPECT_FALSE(std::isfinite(summarize_row(logits).log_sum_exp)) << place;
  }
}

}  // namespace
}  // namespace nibble
