// Block decoding against values computed by the gguf Python package, and lossless repacking.
#include "numbers/ggml_blocks.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstring>
#include <map>
#include <random>
#include <vector>

#include "core/file.h"
#include "core/json.h"
#include "tests/test_data.h"

namespace nibble {
namespace {

struct BlockRow {
  size_t n_values;
  size_t n_bytes;
  void (*decode)(const uint8_t*, float*);
};

const std::map<std::string, BlockRow>& rows() {
  static const std::map<std::string, BlockRow> kRows = {
      {"Q8_0", {kQ8_0Values, kQ8_0Bytes, decode_q8_0}},
      {"Q4_0", {kQ4_0Values, kQ4_0Bytes, decode_q4_0}},
      {"Q4_K", {kKValues, kQ4KBytes, decode_q4_k}},
      {"Q5_K", {kKValues, kQ5KBytes, decode_q5_k}},
      {"Q6_K", {kKValues, kQ6KBytes, decode_q6_k}},
      {"NVFP4", {kGgufNvfp4Values, kGgufNvfp4Bytes, decode_gguf_nvfp4}},
  };
  return kRows;
}

std::vector<uint8_t> from_hex(const std::string& hex) {
  std::vector<uint8_t> bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<uint8_t>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

TEST(GgmlBlocks, DecodeLikeTheReference) {
  const auto cases = read_json_file(test::source_path("tests/data/numbers/ggml_blocks.json"));
  ASSERT_TRUE(cases);
  ASSERT_GE(cases->size(), 18u);
  for (const auto& item : *cases) {
    const BlockRow& row = rows().at(item["type"].get<std::string>());
    const auto block = from_hex(item["bytes"]);
    const auto expected = from_hex(item["values"]);
    ASSERT_EQ(block.size(), row.n_bytes);
    ASSERT_EQ(expected.size(), row.n_values * sizeof(float));
    std::vector<float> values(row.n_values);
    row.decode(block.data(), values.data());
    for (size_t i = 0; i < values.size(); ++i) {
      float want = 0.0f;
      std::memcpy(&want, expected.data() + i * sizeof(float), sizeof(float));
      EXPECT_NEAR(values[i], want, 1e-6f * std::abs(want) + 1e-9f) << item["type"] << " " << i;
    }
  }
}

TEST(GgmlBlocks, Nvfp4RepackingIsLossless) {
  std::mt19937 random(1);
  std::array<uint8_t, 4> scales{};
  std::array<uint8_t, 32> codes{};
  for (uint8_t& s : scales) s = static_cast<uint8_t>(1 + random() % 0x7e);
  for (uint8_t& c : codes) c = static_cast<uint8_t>(random());
  std::array<uint8_t, kGgufNvfp4Bytes> block{};
  pack_gguf_nvfp4(scales.data(), codes.data(), block.data());
  std::array<uint8_t, 4> scales_back{};
  std::array<uint8_t, 32> codes_back{};
  unpack_gguf_nvfp4(block.data(), scales_back.data(), codes_back.data());
  EXPECT_EQ(scales, scales_back);
  EXPECT_EQ(codes, codes_back);
  std::array<float, 64> values{};
  decode_gguf_nvfp4(block.data(), values.data());
  for (size_t i = 0; i < 64; ++i) {
    const auto code = static_cast<uint8_t>(i % 2 == 0 ? codes[i / 2] & 15u : codes[i / 2] >> 4);
    EXPECT_EQ(values[i], e2m1_to_f32(code) * e4m3_to_f32(scales[i / 16]));
  }
}

TEST(GgmlBlocks, Q8RoundTripStaysWithinHalfAStep) {
  std::mt19937 random(2);
  std::normal_distribution<float> normal;
  std::array<float, 32> values{};
  for (float& v : values) v = normal(random);
  std::array<uint8_t, kQ8_0Bytes> block{};
  encode_q8_0(values.data(), block.data());
  std::array<float, 32> decoded{};
  decode_q8_0(block.data(), decoded.data());
  float amax = 0.0f;
  for (const float v : values) amax = std::max(amax, std::abs(v));
  for (size_t i = 0; i < 32; ++i)
    EXPECT_NEAR(decoded[i], values[i], amax / 127 * 0.51f + amax * 1e-3f);
  encode_q8_0(std::array<float, 32>{}.data(), block.data());
  decode_q8_0(block.data(), decoded.data());
  for (const float v : decoded) EXPECT_EQ(v, 0.0f);
}

}  // namespace
}  // namespace nibble
