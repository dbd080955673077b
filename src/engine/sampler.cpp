#include "engine/sampler.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/check.h"

namespace nibble {
namespace {

// Below this, dividing by the temperature says nothing that the largest logit does not.
constexpr float kGreedyTemperature = 1e-5f;

// Probabilities are integers on this grid relative to the largest. Sums of integers do not depend
// on their order, and the last bit of exp, which differs between maths libraries, is rounded away.
constexpr double kWeightOne = static_cast<double>(uint64_t{1} << 38);

// The splitmix64 generator: any seed is good, and its numbers are the same everywhere.
uint64_t next_random(uint64_t& state) {
  state += 0x9e3779b97f4a7c15ull;
  uint64_t z = state;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return z ^ (z >> 31);
}

// The high half of a * b: maps a random number to [0, b) without a division.
uint64_t multiply_high(uint64_t a, uint64_t b) {
  const uint64_t a_low = a & 0xffffffff;
  const uint64_t a_high = a >> 32;
  const uint64_t b_low = b & 0xffffffff;
  const uint64_t b_high = b >> 32;
  const uint64_t middle = a_high * b_low + ((a_low * b_low) >> 32);
  const uint64_t carry = ((middle & 0xffffffff) + a_low * b_high) >> 32;
  return a_high * b_high + (middle >> 32) + carry;
}

Status check_range(const char* name, float value, float least, float most, const char* range) {
  if (value >= least && value <= most) return {};
  return Error(ErrorCode::kInvalidArgument,
               fmt::format("{} is {}; expected {}", name, value, range));
}

}  // namespace

Status check_sampling(const SamplingParams& params) {
  constexpr float kLargest = std::numeric_limits<float>::max();
  constexpr float kSmallest = std::numeric_limits<float>::min();
  RETURN_IF_ERROR(check_range("temperature", params.temperature, 0.0f, kLargest,
                              "a number from 0 (greedy) upwards"));
  RETURN_IF_ERROR(
      check_range("top_p", params.top_p, kSmallest, 1.0f, "a number above 0 and at most 1"));
  RETURN_IF_ERROR(check_range("min_p", params.min_p, 0.0f, 1.0f, "a number from 0 to 1"));
  RETURN_IF_ERROR(check_range("repetition_penalty", params.repetition_penalty, kSmallest, kLargest,
                              "a number above 0 (1 is none)"));
  RETURN_IF_ERROR(check_range("presence_penalty", params.presence_penalty, -2.0f, 2.0f,
                              "a number from -2 to 2"));
  RETURN_IF_ERROR(check_range("frequency_penalty", params.frequency_penalty, -2.0f, 2.0f,
                              "a number from -2 to 2"));
  if (params.top_k < -1) {
    return Error(ErrorCode::kInvalidArgument,
                 fmt::format("top_k is {}; expected a count from 1 upwards, or 0 or -1 for all",
                             params.top_k));
  }
  return {};
}

Sampler::Sampler(const SamplingParams& params, size_t n_valid_tokens,
                 std::span<const int32_t> prompt_tokens)
    : params_(params),
      n_valid_tokens_(n_valid_tokens),
      prompt_tokens_(prompt_tokens.begin(), prompt_tokens.end()),
      random_state_(params.seed) {}

int32_t Sampler::sample(std::span<float> logits) {
  apply_penalties(logits);
  const int32_t token = pick(logits.first(std::min(logits.size(), n_valid_tokens_)));
  ++output_counts_[token];
  return token;
}

void Sampler::apply_penalties(std::span<float> logits) const {
  const auto knows = [&](int32_t token) {
    return token >= 0 && static_cast<size_t>(token) < logits.size();
  };
  if (params_.repetition_penalty != 1.0f) {
    const auto discourage = [&](int32_t token) {
      float& logit = logits[static_cast<size_t>(token)];
      logit =
          logit > 0.0f ? logit / params_.repetition_penalty : logit * params_.repetition_penalty;
    };
    for (const int32_t token : prompt_tokens_) {
      if (knows(token)) discourage(token);
    }
    for (const auto& seen : output_counts_) {
      if (knows(seen.first) && prompt_tokens_.count(seen.first) == 0) discourage(seen.first);
    }
  }
  if (params_.presence_penalty == 0.0f && params_.frequency_penalty == 0.0f) return;
  for (const auto& seen : output_counts_) {
    if (!knows(seen.first)) continue;
    logits[static_cast<size_t>(seen.first)] -=
        params_.frequency_penalty * static_cast<float>(seen.second) + params_.presence_penalty;
  }
}

int32_t Sampler::pick(std::span<const float> logits) {
  // Comparisons with NaN are false, so NaN never becomes the greatest.
  float greatest = -std::numeric_limits<float>::infinity();
  int32_t best = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] > greatest) {
      greatest = logits[i];
      best = static_cast<int32_t>(i);
    }
  }
  if (params_.temperature < kGreedyTemperature || std::isinf(greatest)) return best;

  candidates_.clear();
  for (size_t i = 0; i < logits.size(); ++i) {
    if (!std::isnan(logits[i])) candidates_.push_back({logits[i], static_cast<int32_t>(i), 0});
  }
  // Min-p and top-k both keep the most probable, so their order does not matter; this one is cheap.
  keep_top_k();
  weigh(greatest);
  keep_top_p();
  return draw();
}

// Sets the weights and drops what min-p, or the grid, drops.
void Sampler::weigh(float greatest) {
  const double temperature = static_cast<double>(params_.temperature);
  const double least = std::max(1.0, static_cast<double>(params_.min_p) * kWeightOne);
  const auto is_negligible = [&](Candidate& candidate) {
    const double distance = static_cast<double>(candidate.logit) - static_cast<double>(greatest);
    const double weight = std::nearbyint(std::exp(distance / temperature) * kWeightOne);
    candidate.weight = static_cast<uint64_t>(weight);
    return weight < least;
  };
  candidates_.erase(std::remove_if(candidates_.begin(), candidates_.end(), is_negligible),
                    candidates_.end());
}

void Sampler::keep_top_k() {
  const auto k = static_cast<size_t>(std::max(params_.top_k, 0));
  if (k == 0 || k >= candidates_.size()) return;
  const auto is_better = [](const Candidate& a, const Candidate& b) {
    return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
  };
  const auto end_of_top = candidates_.begin() + static_cast<std::ptrdiff_t>(k);
  std::nth_element(candidates_.begin(), end_of_top, candidates_.end(), is_better);
  candidates_.erase(end_of_top, candidates_.end());
}

// The fewest most probable candidates whose probabilities add up to top_p.
void Sampler::keep_top_p() {
  if (params_.top_p >= 1.0f) return;
  uint64_t total = 0;
  for (const Candidate& candidate : candidates_) total += candidate.weight;
  const double wanted = static_cast<double>(params_.top_p) * static_cast<double>(total);
  const auto is_worse = [](const Candidate& a, const Candidate& b) {
    return a.logit != b.logit ? a.logit < b.logit : a.token > b.token;
  };
  // A heap sorts only as far as the sum needs.
  std::make_heap(candidates_.begin(), candidates_.end(), is_worse);
  auto end_of_heap = candidates_.end();
  uint64_t sum = 0;
  while (end_of_heap != candidates_.begin() && static_cast<double>(sum) < wanted) {
    std::pop_heap(candidates_.begin(), end_of_heap, is_worse);
    --end_of_heap;
    sum += end_of_heap->weight;
  }
  candidates_.erase(candidates_.begin(), end_of_heap);
}

int32_t Sampler::draw() {
  CHECK(!candidates_.empty());  // the greatest logit has the full weight and passes every filter
  // The filters leave an order that depends on the library; the draw must not.
  const auto is_lower = [](const Candidate& a, const Candidate& b) { return a.token < b.token; };
  if (!std::is_sorted(candidates_.begin(), candidates_.end(), is_lower)) {
    std::sort(candidates_.begin(), candidates_.end(), is_lower);
  }
  uint64_t total = 0;
  for (const Candidate& candidate : candidates_) total += candidate.weight;
  uint64_t left = multiply_high(next_random(random_state_), total);
  for (const Candidate& candidate : candidates_) {
    if (left < candidate.weight) return candidate.token;
    left -= candidate.weight;
  }
  return candidates_.back().token;
}

}  // namespace nibble
