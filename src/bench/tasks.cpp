#include "bench/tasks.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <utility>

#include "core/cancel.h"
#include "core/clock.h"

namespace nibble {
namespace {

constexpr std::string_view kBlank = " \t\r\n\f\v";

std::string_view trim(std::string_view text) {
  const size_t first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

bool is_word_byte(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte >= 0x80 || byte == '_' || std::isalnum(byte) != 0;
}

bool contains_word(std::string_view text, std::string_view word) {
  for (size_t at = text.find(word); at != std::string_view::npos; at = text.find(word, at + 1)) {
    const size_t end = at + word.size();
    const bool free_before = at == 0 || !is_word_byte(text[at - 1]);
    const bool free_after = end == text.size() || !is_word_byte(text[end]);
    if (free_before && free_after) return true;
  }
  return false;
}

Result<std::string> text_field(const Json& object, const char* key, bool required,
                               const std::string& place) {
  const auto found = object.find(key);
  if (found == object.end() && !required) return std::string();
  if (found == object.end() || !found->is_string()) {
    return Error(ErrorCode::kCorrupt,
                 fmt::format("a task needs the field \"{}\" with a text in it", key), place);
  }
  return found->get<std::string>();
}

Result<Task> parse_task(std::string_view line, const std::string& place) {
  ASSIGN_OR_RETURN(const Json object, parse_json(line, place));
  if (!object.is_object()) {
    return Error(ErrorCode::kCorrupt, "a task must be a JSON object on a line of its own", place);
  }
  Task task;
  ASSIGN_OR_RETURN(task.kind, text_field(object, "kind", false, place));
  ASSIGN_OR_RETURN(task.question, text_field(object, "question", true, place));
  ASSIGN_OR_RETURN(task.answer, text_field(object, "answer", true, place));
  if (trim(task.answer).empty()) {
    return Error(ErrorCode::kCorrupt, "a task's answer is empty: every text would be right", place);
  }
  return task;
}

}  // namespace

Result<std::vector<Task>> parse_tasks(std::string_view json_lines, const std::string& subject) {
  std::vector<Task> tasks;
  size_t line_number = 0;
  while (!json_lines.empty()) {
    const size_t end = std::min(json_lines.find('\n'), json_lines.size());
    const std::string_view line = trim(json_lines.substr(0, end));
    json_lines.remove_prefix(std::min(end + 1, json_lines.size()));
    ++line_number;
    if (line.empty()) continue;
    ASSIGN_OR_RETURN(Task task, parse_task(line, fmt::format("{}:{}", subject, line_number)));
    tasks.push_back(std::move(task));
  }
  if (tasks.empty()) {
    return Error(ErrorCode::kInvalidArgument, "no task found: expected one JSON object per line",
                 subject);
  }
  return tasks;
}

bool is_right_answer(std::string_view text, std::string_view expected) {
  constexpr std::string_view kThinkingEnd = "</think>";
  const size_t thinking = text.rfind(kThinkingEnd);
  if (thinking != std::string_view::npos) text.remove_prefix(thinking + kThinkingEnd.size());
  text = trim(text);
  if (text.ends_with('.')) text.remove_suffix(1);
  expected = trim(expected);
  if (expected.empty()) return false;
  return text.ends_with(expected) || contains_word(text, expected);
}

Result<TaskReport> run_tasks(std::span<const Task> tasks, const AnswerFunction& answer,
                             const ProgressSink& progress) {
  const Stopwatch watch;
  TaskReport report;
  for (const Task& task : tasks) {
    if (progress) progress({"eval", "tasks", report.n_tasks, tasks.size(), false});
    RETURN_IF_ERROR(check_cancelled());
    ASSIGN_OR_RETURN(std::string text, answer(task));
    const bool right = is_right_answer(text, task.answer);
    auto kind = std::find_if(report.by_kind.begin(), report.by_kind.end(),
                             [&](const KindAccuracy& row) { return row.kind == task.kind; });
    if (kind == report.by_kind.end()) {
      kind = report.by_kind.insert(report.by_kind.end(), KindAccuracy{task.kind, 0, 0});
    }
    kind->n_tasks += 1;
    kind->n_right += right ? 1 : 0;
    report.n_tasks += 1;
    report.n_right += right ? 1 : 0;
    report.answers.push_back(std::move(text));
  }
  if (progress) progress({"eval", "tasks", report.n_tasks, tasks.size(), false});
  report.elapsed_s = watch.elapsed_s();
  return report;
}

Json report_json(const TaskReport& report) {
  const Interval interval = report.interval();
  Json by_kind = Json::object();
  Json n_by_kind = Json::object();
  for (const KindAccuracy& row : report.by_kind) {
    by_kind[row.kind] = static_cast<double>(row.n_right) / static_cast<double>(row.n_tasks);
    n_by_kind[row.kind] = row.n_tasks;
  }
  return {{"accuracy", report.accuracy()},  {"accuracy_low", interval.low},
          {"accuracy_high", interval.high}, {"n_tasks", report.n_tasks},
          {"accuracy_by_kind", by_kind},    {"n_by_kind", n_by_kind}};
}

}  // namespace nibble
