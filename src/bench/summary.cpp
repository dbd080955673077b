#include "bench/summary.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"

namespace nibble {

Estimate estimate_mean(std::span<const double> values) {
  Estimate out;
  if (values.empty()) return out;
  const auto n = static_cast<double>(values.size());
  for (const double value : values) out.mean += value;
  out.mean /= n;
  // Squared distances from the mean: the same number as E[x^2] - E[x]^2 without its cancellation.
  double variance = 0.0;
  for (const double value : values) variance += (value - out.mean) * (value - out.mean);
  variance /= n;
  if (values.size() > 1) out.se = std::sqrt(variance / (n - 1.0));
  return out;
}

Estimate estimate_share(size_t n_hits, size_t n_trials) {
  Estimate out;
  if (n_trials == 0) return out;
  const auto n = static_cast<double>(n_trials);
  out.mean = static_cast<double>(n_hits) / n;
  if (n_trials > 1) out.se = std::sqrt(out.mean * (1.0 - out.mean) / (n - 1.0));
  return out;
}

double percentile(std::span<const double> sorted, double fraction) {
  CHECK(!sorted.empty());
  const double position = std::clamp(fraction, 0.0, 1.0) * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(position);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  const double weight = position - static_cast<double>(below);
  return (1.0 - weight) * sorted[below] + weight * sorted[above];
}

Interval wilson_interval(size_t n_hits, size_t n_trials) {
  if (n_trials == 0) return {};
  constexpr double kZ = 1.959963984540054;
  const auto n = static_cast<double>(n_trials);
  const double share = static_cast<double>(n_hits) / n;
  const double z2_over_n = kZ * kZ / n;
  const double centre = share + z2_over_n / 2.0;
  const double half_width = kZ * std::sqrt(share * (1.0 - share) / n + z2_over_n / (4.0 * n));
  const double scale = 1.0 + z2_over_n;
  return {std::max(0.0, (centre - half_width) / scale),
          std::min(1.0, (centre + half_width) / scale)};
}

double covariance(std::span<const double> x, std::span<const double> y) {
  CHECK(x.size() == y.size());
  if (x.empty()) return 0.0;
  const double mean_x = estimate_mean(x).mean;
  const double mean_y = estimate_mean(y).mean;
  double sum = 0.0;
  for (size_t i = 0; i < x.size(); ++i) sum += (x[i] - mean_x) * (y[i] - mean_y);
  return sum / static_cast<double>(x.size());
}

}  // namespace nibble
