#include "quantize/methods/sweep.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "quantize/methods/matrix_fixture.h"
#include "quantize/methods/rtn.h"

namespace nibble {
namespace {

using test::Bf16Matrix;
using test::stored_error;
using testing::ElementsAre;

float block_amax_of(const float* values) {
  float amax = 0.0f;
  for (size_t i = 0; i < kNvfp4BlockSize; ++i) amax = std::max(amax, std::fabs(values[i]));
  return amax;
}

// The best of all 126 codes that lie within the window, ties to the nearer one, then upwards.
int brute_force(const float* values, float tensor_scale, int below, int above) {
  const int nearest = nvfp4_block_scale(block_amax_of(values), tensor_scale);
  int best = -1;
  double least = 0.0;
  for (int distance = 0; distance <= 126; ++distance) {
    for (const int code : {nearest + distance, nearest - distance}) {
      if (code < 1 || code > 126 || code < nearest - below || code > nearest + above) continue;
      const double error = stored_error(values, static_cast<uint8_t>(code), tensor_scale);
      if (best < 0 || error < least) {
        best = code;
        least = error;
      }
    }
  }
  return best;
}

TEST(Sweep, EqualsBruteForceOverTheWindow) {
  const Bf16Matrix matrix = test::random_matrix(96, 256, 11);
  const float tensor_scale = nvfp4_tensor_scale(matrix.amax());
  ThreadPool pool(2);
  const auto result = quantize_sweep({matrix.view(), tensor_scale}, pool);
  ASSERT_TRUE(result.has_value());
  const std::vector<float> values = matrix.values();
  size_t n_moved = 0;
  for (size_t block = 0; block < result->scales.size(); ++block) {
    const float* in = values.data() + block * kNvfp4BlockSize;
    const float amax = block_amax_of(in);
    const uint8_t nearest = nvfp4_block_scale(amax, tensor_scale);
    if (amax == 0.0f) {
      ASSERT_EQ(result->scales[block], kNvfp4ZeroBlockScale);
      continue;
    }
    ASSERT_EQ(result->scales[block], brute_force(in, tensor_scale, 3, 7)) << block;
    ASSERT_EQ(result->scales[block], sweep_block_scale(in, tensor_scale));
    ASSERT_LE(stored_error(in, result->scales[block], tensor_scale),
              stored_error(in, nearest, tensor_scale));
    uint8_t packed[kNvfp4BlockBytes];
    nvfp4_encode_block(in, result->scales[block], tensor_scale, packed);
    ASSERT_EQ(std::memcmp(packed, result->codes.data() + block * kNvfp4BlockBytes, sizeof(packed)),
              0);
    n_moved += result->scales[block] != nearest ? 1 : 0;
  }
  EXPECT_GT(n_moved, result->scales.size() / 3);
}

// Away from the subnormal scales the window holds the optimum over all codes.
TEST(Sweep, WindowHoldsTheBestOfAllCodes) {
  std::mt19937 generator(5);
  std::normal_distribution<float> normal(0.0f, 1.0f);
  for (int trial = 0; trial < 3000; ++trial) {
    float block[kNvfp4BlockSize];
    const float gain = std::exp2(static_cast<float>(trial % 9) - 6.0f);
    for (float& value : block) value = normal(generator) * gain;
    const float tensor_scale = nvfp4_tensor_scale(8.0f);
    ASSERT_EQ(sweep_block_scale(block, tensor_scale), brute_force(block, tensor_scale, 126, 126));
  }
}

TEST(Sweep, FindsFourOverSixWhereItIsBest) {
  const Bf16Matrix block{1,
                         16,
                         {0x3DC0, 0x3DA0, 0xBDA0, 0x3D90, 0x3D90, 0xBD90, 0x3D40, 0x3CC0, 0x3C40,
                          0xBC40, 0x0000, 0x3DB0, 0xBDC0, 0x3DA0, 0x3D90, 0xBD40}};
  ThreadPool pool(1);
  const auto rtn = quantize_rtn({block.view(), 0x1p-12f}, pool);
  EXPECT_THAT(rtn->scales, ElementsAre(0x68));
  const auto sweep = quantize_sweep({block.view(), 0x1p-12f}, pool);
  EXPECT_THAT(sweep->scales, ElementsAre(0x6C));
  EXPECT_THAT(sweep->codes, ElementsAre(0x56, 0x5D, 0xD5, 0x24, 0x91, 0x60, 0x5E, 0xC5));
}

TEST(Sweep, StaysWithinTheCodesThatMayBeWritten) {
  const float tensor_scale = 0x1p-16f;
  float largest[kNvfp4BlockSize] = {};
  largest[0] = 2688.0f * tensor_scale;
  EXPECT_EQ(sweep_block_scale(largest, tensor_scale), kE4m3MaxCode);
  float smallest[kNvfp4BlockSize] = {};
  smallest[3] = 0x1p-40f;
  EXPECT_GE(sweep_block_scale(smallest, tensor_scale), kNvfp4MinScale);
}

TEST(Sweep, SameForEveryNumberOfThreads) {
  const Bf16Matrix matrix = test::random_matrix(257, 512, 13);
  const MatrixTask task{matrix.view(), nvfp4_tensor_scale(matrix.amax())};
  ThreadPool one(1);
  ThreadPool four(4);
  const auto alone = quantize_sweep(task, one);
  const auto together = quantize_sweep(task, four);
  EXPECT_EQ(alone->codes, together->codes);
  EXPECT_EQ(alone->scales, together->scales);
}

TEST(Methods, AreListedAndFound) {
  for (const Method& method : methods()) {
    EXPECT_EQ(find_method(method.name), &method);
    EXPECT_FALSE(method.description.empty());
  }
  EXPECT_NE(find_method("rtn"), nullptr);
  EXPECT_NE(find_method("sweep"), nullptr);
  EXPECT_EQ(find_method("RTN"), nullptr);
}

}  // namespace
}  // namespace nibble
