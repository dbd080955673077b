#include "quantize/ignore_pattern.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace nibble {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const std::vector<TensorNames> kTensors = {
    {"layers.1.mlp.gate_proj.weight", "model.language_model.layers.1.mlp.gate_proj.weight"},
    {"layers.10.mlp.gate_proj.weight", "model.language_model.layers.10.mlp.gate_proj.weight"},
    {"layers.1.linear_attn.in_proj_a.weight",
     "model.language_model.layers.1.linear_attn.in_proj_a.weight"},
    {"layers.1.linear_attn.A_log", "model.language_model.layers.1.linear_attn.A_log"},
    {"lm_head.weight", "lm_head.weight"},
};

// The canonical names that the pattern means, shortened to their indices.
std::vector<size_t> matched(const std::string& pattern) {
  const auto flags = match_pattern(pattern, kTensors);
  EXPECT_TRUE(flags.has_value()) << pattern;
  std::vector<size_t> indices;
  for (size_t i = 0; flags && i < flags->size(); ++i) {
    if ((*flags)[i]) indices.push_back(i);
  }
  return indices;
}

std::string error_of(const std::string& pattern) {
  const auto flags = match_pattern(pattern, kTensors);
  if (flags) return {};
  EXPECT_EQ(flags.error().code, ErrorCode::kInvalidArgument);
  return flags.error().message;
}

TEST(IgnorePattern, WholeNamesInEverySpelling) {
  EXPECT_THAT(matched("lm_head"), ElementsAre(4));
  EXPECT_THAT(matched("layers.1.mlp.gate_proj"), ElementsAre(0));
  EXPECT_THAT(matched("layers.1.mlp.gate_proj.weight"), ElementsAre(0));
  EXPECT_THAT(matched("model.language_model.layers.10.mlp.gate_proj"), ElementsAre(1));
  EXPECT_THAT(matched("model.language_model.layers.10.mlp.gate_proj.weight"), ElementsAre(1));
}

TEST(IgnorePattern, DottedPartsBeforeAnyText) {
  EXPECT_THAT(matched("layers.1"), ElementsAre(0, 2, 3));
  EXPECT_THAT(matched("linear_attn"), ElementsAre(2, 3));
  EXPECT_THAT(matched("layers.10.mlp"), ElementsAre(1));
  EXPECT_THAT(matched("in_proj"), ElementsAre(2));
  EXPECT_THAT(matched("_proj"), ElementsAre(0, 1, 2));
}

TEST(IgnorePattern, ExpressionsMatchFromTheStartOfTheName) {
  EXPECT_THAT(matched("re:.*linear_attn"), ElementsAre(2, 3));
  EXPECT_THAT(matched("re:.*gate_proj$"), ElementsAre(0, 1));
  EXPECT_THAT(matched("re:layers\\.1\\."), ElementsAre(0, 2, 3));
  EXPECT_THAT(matched("re:^lm_head$"), ElementsAre(4));
  EXPECT_THAT(matched("re:lm_head|.*layers\\.10"), ElementsAre(1, 4));
  EXPECT_THAT(matched("re:.*(?P<which>gate|up)_proj"), ElementsAre(0, 1));
  EXPECT_THAT(matched("re:(?!.*(mlp|lm_head)).*"), ElementsAre(2, 3));
  EXPECT_THAT(matched("re:.*gate_proj\\.weight"), ElementsAre(0, 1));
  EXPECT_THAT(error_of("re:linear_attn"), HasSubstr("matches nothing"));
}

TEST(IgnorePattern, WhatMatchesNothingListsWhatThereIs) {
  const std::string message = error_of("self_attn");
  EXPECT_THAT(message, HasSubstr("\"self_attn\" matches nothing"));
  EXPECT_THAT(message, HasSubstr("layers.*.mlp.gate_proj"));
  EXPECT_THAT(message, HasSubstr("layers.*.linear_attn.A_log"));
  EXPECT_THAT(message, HasSubstr("lm_head"));
}

TEST(IgnorePattern, MalformedAndHostileExpressionsAreErrors) {
  EXPECT_THAT(error_of("re:*mlp"), HasSubstr("at character"));
  EXPECT_THAT(error_of("re:(mlp"), HasSubstr("not a valid expression"));
  EXPECT_THAT(error_of(""), HasSubstr("is empty"));
  EXPECT_THAT(error_of("re:" + std::string(100'000, '(')), HasSubstr("not a valid expression"));
  const std::vector<TensorNames> endless = {
      {std::string_view(), "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"}};
  const auto slow = match_pattern("re:(a|a|a)*c|((a*)*)*d", endless);
  ASSERT_FALSE(slow.has_value());
}

}  // namespace
}  // namespace nibble
