#include "chat/message.h"

#include <gtest/gtest.h>

#include <string>

#include "chat/template.h"

namespace nibble {
namespace {

std::string rendered(const std::string& json, const std::string& source) {
  const auto context = parse_message_json(json, "context");
  if (!context) return context.error().to_string();
  const auto parsed = Template::parse(source, "template");
  if (!parsed) return parsed.error().to_string();
  const auto text = parsed->render(*context);
  return text ? *text : text.error().to_string();
}

TEST(MessageJson, KeepsTheOrderOfKeys) {
  const auto json = parse_message_json(R"({"z": 1, "a": {"y": [], "b": {}}, "m": null})", "test");
  ASSERT_TRUE(json) << json.error().to_string();
  EXPECT_EQ(json->dump(), R"({"z":1,"a":{"y":[],"b":{}},"m":null})");
}

TEST(MessageJson, TakesAnyValueAtTheTop) {
  for (const char* text : {"null", "true", "-7", "\"x\"", "[]", "{}", "[[[{}]]]", "1.5"}) {
    const auto json = parse_message_json(text, "test");
    ASSERT_TRUE(json) << json.error().to_string();
    EXPECT_EQ(json->dump(), text);
  }
}

TEST(MessageJson, TheLastOfTwoEqualKeysWins) {
  const auto json = parse_message_json(R"({"a": {"x": 1}, "b": 2, "a": [3]})", "test");
  ASSERT_TRUE(json) << json.error().to_string();
  EXPECT_EQ(json->dump(), R"({"a":[3],"b":2})");
}

TEST(MessageJson, IntegersOfAnySizeKeepTheirDigits) {
  const std::string digits = "123456789012345678901234567890";
  const std::string json = R"({"big": )" + digits + R"(, "low": -)" + digits +
                           R"(, "last": 18446744073709551615, "least": -9223372036854775808})";
  EXPECT_EQ(rendered(json, "{{ big }} {{ low }} {{ last }} {{ least }}"),
            digits + " -" + digits + " 18446744073709551615 -9223372036854775808");
  EXPECT_EQ(rendered(json, "{{ big + 1 }} {{ big is integer }} {{ {'k': big} | tojson }}"),
            "123456789012345678901234567891 True {\"k\": " + digits + "}");
}

TEST(MessageJson, AFractionOrAnExponentMakesAFloat) {
  EXPECT_EQ(rendered(R"({"a": 1.0, "b": 1e3, "c": 1E22, "d": 0.1, "e": 100000000000000000000.0})",
                     "{{ a }} {{ b }} {{ c }} {{ d }} {{ e }} {{ b is float }}"),
            "1.0 1000.0 1e+22 0.1 1e+20 True");
}

TEST(MessageJson, BrokenTextsTellThePlace) {
  for (const char* text : {"", "[", "{\"a\" 1}", "[1,]", "nul", "{\"a\": 1} x", "\"\xff\"", "'a'",
                           "[NaN]", "{a: 1}", "[01]"}) {
    const auto json = parse_message_json(text, "messages.json");
    ASSERT_FALSE(json) << text;
    EXPECT_EQ(json.error().code, ErrorCode::kCorrupt);
    EXPECT_EQ(json.error().subject, "messages.json");
    EXPECT_NE(json.error().message.find("line 1, column"), std::string::npos)
        << json.error().message;
    EXPECT_EQ(json.error().message.find("exception"), std::string::npos) << json.error().message;
  }
}

TEST(MessageJson, DeepNestingIsRefused) {
  const auto json = parse_message_json(std::string(100'000, '['), "messages.json");
  ASSERT_FALSE(json);
  EXPECT_EQ(json.error().code, ErrorCode::kLimit);
}

}  // namespace
}  // namespace nibble
