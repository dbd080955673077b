// What the backend tests share: one fixture run for every implementation that this machine
// supports, repeatable random values, and the tolerance table.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "backend/cpu_backend.h"

namespace nibble::test {

/// How far an implementation may be from the reference, relative to the largest magnitude of the
/// expected values. Sums of F32 products in another order differ by about sqrt(n) * 6e-8.
struct Tolerance {
  float matmul = 1e-5f;
  float norm = 2e-6f;
  float elementwise = 2e-6f;
  float attention = 5e-6f;
  float delta_rule = 1e-5f;
};
inline constexpr Tolerance kTolerance;

inline std::vector<float> random_values(size_t n, uint32_t seed, float scale = 1.0f) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal(0.0f, scale);
  std::vector<float> values(n);
  for (float& value : values) value = normal(engine);
  return values;
}

/// Expects every value within `tolerance` times the largest magnitude of `expected`.
inline void expect_close(const std::vector<float>& found, const std::vector<float>& expected,
                         float tolerance, const std::string& what) {
  ASSERT_EQ(found.size(), expected.size()) << what;
  float largest = 0.0f;
  for (const float value : expected) largest = std::fmax(largest, std::fabs(value));
  size_t worst = 0;
  float worst_error = 0.0f;
  for (size_t i = 0; i < found.size(); ++i) {
    const float error = std::fabs(found[i] - expected[i]);
    if (!(error <= worst_error)) {
      worst_error = error;
      worst = i;
    }
  }
  EXPECT_TRUE(worst_error <= tolerance * std::fmax(largest, 1e-30f))
      << what << ": at " << worst << " found " << found[worst] << ", expected " << expected[worst]
      << ", allowed " << tolerance * largest;
}

inline std::unique_ptr<Backend> make_backend(const std::string& implementation,
                                             size_t n_threads = 2) {
  CpuOptions options;
  options.implementation = implementation;
  options.n_threads = n_threads;
  auto backend = make_cpu_backend(options);
  EXPECT_TRUE(backend.has_value());
  return std::move(backend).value();
}

/// Every test of this fixture runs once for each supported implementation; `reference()` is the
/// scalar one.
class EveryImplementation : public ::testing::TestWithParam<std::string> {
 protected:
  EveryImplementation() : backend_(make_backend(GetParam())), reference_(make_backend("scalar")) {}
  Backend& backend() { return *backend_; }
  Backend& reference() { return *reference_; }

 private:
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Backend> reference_;
};

inline std::vector<std::string> supported_implementations() {
  std::vector<std::string> names;
  for (const CpuImplementationInfo& info : cpu_implementations()) {
    if (info.supported) names.emplace_back(info.name);
  }
  return names;
}

inline std::string implementation_name(const ::testing::TestParamInfo<std::string>& info) {
  return info.param;
}

}  // namespace nibble::test

/// Runs the fixture's tests for every supported implementation.
#define INSTANTIATE_FOR_EVERY_IMPLEMENTATION(fixture)                                        \
  INSTANTIATE_TEST_SUITE_P(Cpu, fixture,                                                     \
                           ::testing::ValuesIn(::nibble::test::supported_implementations()), \
                           ::nibble::test::implementation_name)
