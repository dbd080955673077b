#include "cli/token_ids.h"

#include <gtest/gtest.h>

namespace nibble {
namespace {

TEST(TokenIds, AcceptsWhatPeopleType) {
  const std::vector<int32_t> expected = {1, 22, 333};
  for (const char* text : {"1,22,333", "1 22 333", "[1, 22, 333]\n", " 1,\t22,,333 "}) {
    const auto ids = parse_token_ids(text);
    ASSERT_TRUE(ids) << text;
    EXPECT_EQ(*ids, expected) << text;
  }
  EXPECT_EQ(token_ids_text(expected), "1,22,333");
}

TEST(TokenIds, RefusesTheRest) {
  for (const char* text : {"", " , ", "1,a", "-1", "1.5", "99999999999", "0x10"}) {
    EXPECT_FALSE(parse_token_ids(text)) << text;
  }
}

}  // namespace
}  // namespace nibble
