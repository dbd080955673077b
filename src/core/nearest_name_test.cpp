#include "core/nearest_name.h"

#include <gtest/gtest.h>

#include <vector>

namespace nibble {
namespace {

TEST(NearestName, OnlyNearOnes) {
  const std::vector<std::string> names = {"quantize", "inspect", "verify"};
  EXPECT_EQ(nearest_name("quantise", names), "quantize");
  EXPECT_EQ(nearest_name("verfy", names), "verify");
  EXPECT_EQ(nearest_name("zzz", names), std::nullopt);
}

}  // namespace
}  // namespace nibble
