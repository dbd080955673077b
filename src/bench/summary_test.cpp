#include "bench/summary.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace nibble {
namespace {

TEST(Summary, MeanAndStandardError) {
  // Mean 2.5, E[x^2] - mean^2 = 1.25, divided by n - 1 = 3.
  const Estimate estimate = estimate_mean(std::vector<double>{1.0, 2.0, 3.0, 4.0});
  EXPECT_DOUBLE_EQ(estimate.mean, 2.5);
  EXPECT_DOUBLE_EQ(estimate.se, std::sqrt(1.25 / 3.0));
  EXPECT_EQ(estimate_mean({}).mean, 0.0);
  EXPECT_EQ(estimate_mean(std::vector<double>{7.0}).se, 0.0);
}

TEST(Summary, Share) {
  const Estimate share = estimate_share(3, 4);
  EXPECT_DOUBLE_EQ(share.mean, 0.75);
  EXPECT_DOUBLE_EQ(share.se, std::sqrt(0.75 * 0.25 / 3.0));
  EXPECT_EQ(estimate_share(0, 0).mean, 0.0);
}

TEST(Summary, PercentilesInterpolate) {
  const std::vector<double> sorted = {0.0, 10.0, 20.0, 30.0};
  EXPECT_DOUBLE_EQ(percentile(sorted, 0.0), 0.0);
  EXPECT_DOUBLE_EQ(percentile(sorted, 0.5), 15.0);
  EXPECT_DOUBLE_EQ(percentile(sorted, 0.99), 29.7);
  EXPECT_DOUBLE_EQ(percentile(sorted, 1.0), 30.0);
  EXPECT_DOUBLE_EQ(percentile(std::vector<double>{4.0}, 0.3), 4.0);
}

TEST(Summary, WilsonInterval) {
  // 8 of 10: the textbook value is 0.4902 to 0.9433.
  const Interval interval = wilson_interval(8, 10);
  EXPECT_NEAR(interval.low, 0.4902, 5e-5);
  EXPECT_NEAR(interval.high, 0.9433, 5e-5);
  EXPECT_EQ(wilson_interval(0, 5).low, 0.0);
  EXPECT_GT(wilson_interval(0, 5).high, 0.3);
  EXPECT_EQ(wilson_interval(0, 0).high, 1.0);
}

TEST(Summary, Covariance) {
  const std::vector<double> x = {1.0, 2.0, 3.0};
  const std::vector<double> y = {2.0, 4.0, 6.0};
  EXPECT_DOUBLE_EQ(covariance(x, y), 4.0 / 3.0);
}

}  // namespace
}  // namespace nibble
