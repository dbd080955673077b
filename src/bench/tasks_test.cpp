#include "bench/tasks.h"

#include <gtest/gtest.h>

#include "core/cancel.h"

namespace nibble {
namespace {

TEST(IsRightAnswer, EndsWithOrContainsAsAWord) {
  EXPECT_TRUE(is_right_answer("42", "42"));
  EXPECT_TRUE(is_right_answer("The result is 42.", "42"));
  EXPECT_TRUE(is_right_answer("It is 42, of course.", "42"));
  EXPECT_TRUE(is_right_answer("a142", "42"));         // ends with it
  EXPECT_FALSE(is_right_answer("142 apples", "42"));  // inside another word
  EXPECT_FALSE(is_right_answer("421 apples", "42"));
  EXPECT_TRUE(is_right_answer("sorted: 27, 45, 53", "27, 45, 53"));
  EXPECT_FALSE(is_right_answer("27, 45", "27, 45, 53"));
  EXPECT_TRUE(is_right_answer("-7 degrees", "-7"));
}

TEST(IsRightAnswer, IsCaseSensitive) {
  EXPECT_TRUE(is_right_answer("Paris.", "Paris"));
  EXPECT_FALSE(is_right_answer("paris", "Paris"));
}

TEST(IsRightAnswer, OnlyOneFinalStopIsDropped) {
  EXPECT_TRUE(is_right_answer("ananab.", "ananab"));
  EXPECT_TRUE(is_right_answer("ananab..", "ananab"));  // still a word
  EXPECT_TRUE(is_right_answer("see a.b.", "a.b"));
  EXPECT_FALSE(is_right_answer("xa.b..", "a.b"));
}

TEST(IsRightAnswer, ThinkingDoesNotCount) {
  EXPECT_FALSE(is_right_answer("<think>maybe 42</think>\n\nI do not know", "42"));
  EXPECT_TRUE(is_right_answer("maybe 41</think>\n\n42.\n", "42"));
  EXPECT_TRUE(is_right_answer("no thinking: 42", "42"));
}

TEST(IsRightAnswer, LettersOutsideAsciiBelongToWords) {
  EXPECT_FALSE(is_right_answer("caf\u00e9 noir", "caf"));
  EXPECT_TRUE(is_right_answer("un caf\u00e9 noir", "caf\u00e9"));
}

TEST(ParseTasks, ReadsLines) {
  const auto tasks = parse_tasks(
      "{\"kind\": \"add\", \"question\": \"1+1?\", \"answer\": \"2\"}\n\n"
      "{\"question\": \"q\", \"answer\": \"a\", \"extra\": 1}",
      "t.jsonl");
  ASSERT_TRUE(tasks) << tasks.error().to_string();
  ASSERT_EQ(tasks->size(), 2u);
  EXPECT_EQ((*tasks)[0].kind, "add");
  EXPECT_EQ((*tasks)[0].answer, "2");
  EXPECT_EQ((*tasks)[1].kind, "");
}

TEST(ParseTasks, NamesTheBadLine) {
  const auto expect_error = [](const char* text, const char* place) {
    const auto tasks = parse_tasks(text, "t.jsonl");
    ASSERT_FALSE(tasks) << text;
    EXPECT_NE(tasks.error().to_string().find(place), std::string::npos)
        << tasks.error().to_string();
  };
  expect_error("{\"question\": \"q\", \"answer\": \"a\"}\nnonsense", "t.jsonl:2");
  expect_error("[1]", "t.jsonl:1");
  expect_error("{\"question\": \"q\"}", "answer");
  expect_error("{\"question\": 5, \"answer\": \"a\"}", "question");
  expect_error("{\"question\": \"q\", \"answer\": \" \"}", "empty");
  expect_error("\n\n", "no task");
}

TEST(RunTasks, CountsByKind) {
  const std::vector<Task> tasks = {{"add", "a", "1"}, {"sub", "b", "2"}, {"add", "c", "3"}};
  const auto report = run_tasks(tasks, [](const Task& task) -> Result<std::string> {
    return task.question == "c" ? std::string("9") : "</think> " + task.answer;
  });
  ASSERT_TRUE(report) << report.error().to_string();
  EXPECT_EQ(report->n_tasks, 3u);
  EXPECT_EQ(report->n_right, 2u);
  ASSERT_EQ(report->by_kind.size(), 2u);
  EXPECT_EQ(report->by_kind[0].kind, "add");
  EXPECT_EQ(report->by_kind[0].n_right, 1u);
  const Json json = report_json(*report);
  EXPECT_DOUBLE_EQ(json["accuracy"].get<double>(), 2.0 / 3.0);
  EXPECT_DOUBLE_EQ(json["accuracy_by_kind"]["add"].get<double>(), 0.5);
  EXPECT_EQ(json["n_by_kind"]["sub"].get<int>(), 1);
}

TEST(RunTasks, StopsAtErrorsAndSignals) {
  const std::vector<Task> tasks = {{"add", "a", "1"}};
  const AnswerFunction fails = [](const Task&) -> Result<std::string> {
    return Error(ErrorCode::kIo, "broken");
  };
  EXPECT_EQ(run_tasks(tasks, fails).error().code, ErrorCode::kIo);
  request_cancel(2);
  EXPECT_EQ(run_tasks(tasks, fails).error().code, ErrorCode::kCancelled);
  clear_cancel();
}

}  // namespace
}  // namespace nibble
