// Means with standard errors, percentiles and intervals, as the reports state them.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace nibble {

/// A mean and its standard error sqrt((E[x^2] - E[x]^2) / (n - 1)); the error is 0 for n < 2.
struct Estimate {
  double mean = 0.0;
  double se = 0.0;
};

/// The mean of `values`; zeros for none.
Estimate estimate_mean(std::span<const double> values);

/// A share of n trials and its standard error sqrt(p (1 - p) / (n - 1)).
Estimate estimate_share(size_t n_hits, size_t n_trials);

/// Value at `fraction` in [0, 1] of values sorted ascending, with linear interpolation between
/// neighbours at position fraction * (n - 1). At least one value.
double percentile(std::span<const double> sorted, double fraction);

/// A range of plausible values.
struct Interval {
  double low = 0.0;
  double high = 1.0;
};

/// Wilson's 95 % score interval of a share; [0, 1] for no trials.
Interval wilson_interval(size_t n_hits, size_t n_trials);

/// Covariance of two equally long series, divided by n.
double covariance(std::span<const double> x, std::span<const double> y);

}  // namespace nibble
