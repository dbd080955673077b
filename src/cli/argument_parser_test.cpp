#include "cli/argument_parser.h"

#include <gtest/gtest.h>

namespace nibble {
namespace {

/// One of everything.
struct Arguments {
  std::string model;
  std::optional<std::string> text;
  std::vector<std::string> ignore;
  std::optional<double> temperature;
  size_t n_threads = 0;
  std::string method = "sweep";
  bool force = false;

  Result<std::optional<std::string>> parse(const std::vector<std::string>& typed) {
    ArgumentParser parser("demo", "Shows arguments");
    parser.positional("MODEL", model, "folder");
    parser.positional("TEXT", text, "text");
    parser.option("--ignore", ignore, "pattern", "PATTERN");
    parser.option("--temperature", temperature, "heat");
    parser.option("-t,--threads", n_threads, "threads");
    parser.environment("threads", "NIBBLE_TEST_THREADS");
    parser.choice("--method", method, {"rtn", "sweep"}, "method");
    parser.flag("--force", force, "force");
    parser.footer("Examples:\n  nibble demo");
    return parser.parse(typed);
  }
};

TEST(ArgumentParser, ReadsEverything) {
  Arguments arguments;
  const auto help = arguments.parse({"m", "some text", "--ignore", "a", "--ignore=re:[b]",
                                     "--temperature=0.5", "-t", "3", "--method", "rtn", "--force"});
  ASSERT_TRUE(help) << help.error().to_string();
  EXPECT_FALSE(help->has_value());
  EXPECT_EQ(arguments.model, "m");
  EXPECT_EQ(arguments.text, "some text");
  EXPECT_EQ(arguments.ignore, (std::vector<std::string>{"a", "re:[b]"}));
  EXPECT_EQ(arguments.temperature, 0.5);
  EXPECT_EQ(arguments.n_threads, 3u);
  EXPECT_EQ(arguments.method, "rtn");
  EXPECT_TRUE(arguments.force);
}

TEST(ArgumentParser, ARepeatedOptionTakesOneValueEach) {
  Arguments arguments;
  ASSERT_TRUE(arguments.parse({"--ignore", "a", "m", "text"}));
  EXPECT_EQ(arguments.model, "m");
  EXPECT_EQ(arguments.ignore, std::vector<std::string>{"a"});
}

TEST(ArgumentParser, TextsPassUnchanged) {
  for (const std::string text : {"[a,b]", "", "{}", "%%", "'quoted'", "a=b", "-", "two\nlines"}) {
    Arguments arguments;
    const auto help = arguments.parse({"m", text});
    ASSERT_TRUE(help) << text << ": " << help.error().to_string();
    EXPECT_EQ(arguments.text, text);
    Arguments repeated;
    ASSERT_TRUE(repeated.parse({"m", "--ignore", text})) << text;
    EXPECT_EQ(repeated.ignore, std::vector<std::string>{text}) << text;
  }
  Arguments dashed;
  ASSERT_TRUE(dashed.parse({"m", "--", "--not-an-option"}));
  EXPECT_EQ(dashed.text, "--not-an-option");
}

TEST(ArgumentParser, BadArgumentsAreErrors) {
  const auto message = [](const std::vector<std::string>& typed) {
    Arguments arguments;
    const auto help = arguments.parse(typed);
    if (help) return std::string();
    EXPECT_EQ(help.error().code, ErrorCode::kInvalidArgument);
    return help.error().message;
  };
  EXPECT_NE(message({}).find("MODEL"), std::string::npos);
  EXPECT_NE(message({"m", "--methd", "rtn"}).find("did you mean --method?"), std::string::npos);
  EXPECT_NE(message({"m", "--xyzzy"}).find("unknown option --xyzzy"), std::string::npos);
  EXPECT_NE(message({"m", "t", "more"}).find("unexpected argument \"more\""), std::string::npos);
  EXPECT_NE(message({"m", "--method", "magic"}).find("rtn, sweep"), std::string::npos);
  EXPECT_NE(message({"m", "--threads", "-1"}), "");
  EXPECT_NE(message({"m", "--threads", "two"}), "");
  EXPECT_NE(message({"m", "--temperature", "warm"}), "");
  EXPECT_NE(message({"m", "--temperature"}), "");
}

TEST(ArgumentParser, HelpAndEnvironment) {
  Arguments arguments;
  const auto help = arguments.parse({"--help"});
  ASSERT_TRUE(help && help->has_value());
  for (const char* part : {"nibble demo", "MODEL", "--method", "rtn|sweep", "Examples:"}) {
    EXPECT_NE((*help)->find(part), std::string::npos) << part << "\n" << **help;
  }
  ASSERT_EQ(setenv("NIBBLE_TEST_THREADS", "5", 1), 0);
  ASSERT_TRUE(arguments.parse({"m"}));
  EXPECT_EQ(arguments.n_threads, 5u);
  ASSERT_TRUE(arguments.parse({"m", "--threads", "2"}));
  EXPECT_EQ(arguments.n_threads, 2u);
  unsetenv("NIBBLE_TEST_THREADS");
}

TEST(ArgumentParser, CountsAreWholeNumbers) {
  for (const char* text : {"-1", "abc", "1.5", "", "0x10", "1e3", "99999999999999999999999"}) {
    Arguments arguments;
    const auto refused = arguments.parse({"m", "--threads", text});
    ASSERT_FALSE(refused) << text;
    EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
    EXPECT_NE(refused.error().message.find("--threads"), std::string::npos)
        << refused.error().message;
  }
}

}  // namespace
}  // namespace nibble
