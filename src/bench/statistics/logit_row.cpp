// Loops run over fixed groups of lanes so that every compiler turns them into vector code without
// being allowed to reorder floating-point sums.
#include "bench/statistics/logit_row.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>

namespace nibble {
namespace {

constexpr size_t kLanes = 16;

/// `value` or zero. A choice between computed numbers would become a branch, because arithmetic may
/// trap, and branches keep loops from becoming vector code; a mask does not.
inline float keep_if(bool condition, float value) {
  const uint32_t mask = 0u - static_cast<uint32_t>(condition);
  return std::bit_cast<float>(std::bit_cast<uint32_t>(value) & mask);
}
inline double keep_if(bool condition, double value) {
  const uint64_t mask = 0u - static_cast<uint64_t>(condition);
  return std::bit_cast<double>(std::bit_cast<uint64_t>(value) & mask);
}

/// exp(x) for x <= 0, relative error below 2^-22; 0 below -87, NaN stays NaN.
/// x = n ln 2 + r with |r| <= ln 2 / 2, a polynomial for exp(r), and n put into the exponent.
inline float exp_of_nonpositive(float x) {
  constexpr float kLog2E = 1.44269504088896341f;
  constexpr float kLn2High = 0.693359375f;
  constexpr float kLn2Low = -2.12194440e-4f;
  constexpr float kRoundingShift = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  constexpr float kLowest = -87.0f;

  const float bounded = x < kLowest ? kLowest : x;
  const float shifted = bounded * kLog2E + kRoundingShift;
  const float n = shifted - kRoundingShift;
  const float r = (bounded - n * kLn2High) - n * kLn2Low;
  float polynomial = 1.9875691500e-4f;
  polynomial = polynomial * r + 1.3981999507e-3f;
  polynomial = polynomial * r + 8.3334519073e-3f;
  polynomial = polynomial * r + 4.1665795894e-2f;
  polynomial = polynomial * r + 1.6666665459e-1f;
  polynomial = polynomial * r + 5.0000001201e-1f;
  const float fraction = polynomial * r * r + r + 1.0f;
  // The integer sits in the low bits of `shifted`; wrapped arithmetic keeps NaN harmless here.
  const uint32_t exponent = (std::bit_cast<uint32_t>(shifted) - 0x4b400000u + 127u) << 23;
  const float power = std::bit_cast<float>(exponent);
  return keep_if(!(x < kLowest), fraction * power);
}

size_t first_maximum(std::span<const float> logits) {
  std::array<float, kLanes> lanes;
  lanes.fill(logits[0]);
  size_t i = 0;
  for (; i + kLanes <= logits.size(); i += kLanes) {
    const float* group = logits.data() + i;
    for (size_t j = 0; j < kLanes; ++j) lanes[j] = group[j] > lanes[j] ? group[j] : lanes[j];
  }
  for (; i < logits.size(); ++i) lanes[0] = std::max(lanes[0], logits[i]);
  const float maximum = *std::max_element(lanes.begin(), lanes.end());
  const auto place = std::find(logits.begin(), logits.end(), maximum);
  // A row that begins with NaN has no such place; its sum is NaN and tells the caller.
  return place == logits.end() ? 0 : static_cast<size_t>(place - logits.begin());
}

double sum_lanes(const std::array<double, kLanes>& lanes) {
  double sum = 0.0;
  for (const double lane : lanes) sum += lane;
  return sum;
}

}  // namespace

LogitRow summarize_row(std::span<const float> logits) {
  LogitRow row;
  row.logits = logits;
  row.argmax = first_maximum(logits);
  const float maximum = row.maximum();

  std::array<double, kLanes> lanes{};
  size_t i = 0;
  for (; i + kLanes <= logits.size(); i += kLanes) {
    const float* group = logits.data() + i;
    std::array<float, kLanes> powers;
    for (size_t j = 0; j < kLanes; ++j) powers[j] = exp_of_nonpositive(group[j] - maximum);
    for (size_t j = 0; j < kLanes; ++j) lanes[j] += static_cast<double>(powers[j]);
  }
  for (; i < logits.size(); ++i) {
    lanes[0] += static_cast<double>(exp_of_nonpositive(logits[i] - maximum));
  }
  row.sum_exp = sum_lanes(lanes);
  row.log_sum_exp = static_cast<double>(maximum) + std::log(row.sum_exp);
  return row;
}

double kl_divergence(const LogitRow& base, const LogitRow& other) {
  const float* const p = base.logits.data();
  const float* const q = other.logits.data();
  const size_t n = base.logits.size();
  const float maximum = base.maximum();
  const double difference = base.log_sum_exp - other.log_sum_exp;
  const double least = base.log_sum_exp + kLeastLogProbability;

  // exp(p - max) ((p - q) - (lse_p - lse_q)), to be divided by the sum of exponentials at the end.
  const auto term = [&](float p_logit, float q_logit, float power) {
    const double logit = static_cast<double>(p_logit);
    const double ratio = (logit - static_cast<double>(q_logit)) - difference;
    return keep_if(logit > least, static_cast<double>(power) * ratio);
  };
  std::array<double, kLanes> lanes{};
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    std::array<float, kLanes> powers;
    for (size_t j = 0; j < kLanes; ++j) powers[j] = exp_of_nonpositive(p[i + j] - maximum);
    for (size_t j = 0; j < kLanes; ++j) lanes[j] += term(p[i + j], q[i + j], powers[j]);
  }
  for (; i < n; ++i) lanes[0] += term(p[i], q[i], exp_of_nonpositive(p[i] - maximum));
  return sum_lanes(lanes) / base.sum_exp;
}

}  // namespace nibble
