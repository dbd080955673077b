// Grouped and tiled value heads.
#include "checkpoint/value_heads.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace nibble {
namespace {

using testing::ElementsAre;

TEST(ValueHeads, KnowsTheTensorsThatRunOverThem) {
  EXPECT_EQ(value_head_part("layers.0.linear_attn.in_proj_qkv.weight"),
            ValueHeadPart::kRowsAfterKeys);
  EXPECT_EQ(value_head_part("layers.7.linear_attn.A_log"), ValueHeadPart::kRows);
  EXPECT_EQ(value_head_part("layers.0.linear_attn.out_proj.weight"), ValueHeadPart::kColumns);
  EXPECT_EQ(value_head_part("layers.0.linear_attn.norm.weight"), ValueHeadPart::kNone);
  EXPECT_EQ(value_head_part("layers.0.self_attn.o_proj.weight"), ValueHeadPart::kNone);
}

TEST(ValueHeads, PutsGroupsIntoTiles) {
  const ValueHeads heads = {2, 6, 1, 1};
  EXPECT_THAT(reordered_value_heads(ValueHeadOrder::kGrouped, heads, ValueHeadPart::kRows, 6),
              ElementsAre(0, 3, 1, 4, 2, 5));
  EXPECT_THAT(reordered_value_heads(ValueHeadOrder::kTiled, heads, ValueHeadPart::kRows, 6),
              ElementsAre(0, 2, 4, 1, 3, 5));
}

TEST(ValueHeads, LeavesKeysAndMovesWholeHeads) {
  const ValueHeads heads = {2, 4, 1, 2};
  EXPECT_THAT(
      reordered_value_heads(ValueHeadOrder::kGrouped, heads, ValueHeadPart::kRowsAfterKeys, 12),
      ElementsAre(0, 1, 2, 3, 4, 5, 8, 9, 6, 7, 10, 11));
}

TEST(ValueHeads, OneOrderUndoesTheOther) {
  const ValueHeads heads = {3, 12, 4, 5};
  const auto there =
      reordered_value_heads(ValueHeadOrder::kGrouped, heads, ValueHeadPart::kColumns, 60);
  const auto back =
      reordered_value_heads(ValueHeadOrder::kTiled, heads, ValueHeadPart::kColumns, 60);
  for (size_t i = 0; i < there.size(); ++i) EXPECT_EQ(there[back[i]], i);
}

}  // namespace
}  // namespace nibble
