// Task accuracy: questions with one short checkable answer each, as a model in conversation
// answers them.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bench/summary.h"
#include "core/json.h"
#include "core/progress.h"
#include "core/result.h"

namespace nibble {

/// One question.
struct Task {
  std::string kind;  ///< group for the report ("add", "sort")
  std::string question;
  std::string answer;
};

/// Reads JSON lines {"kind": ..., "question": ..., "answer": ...}; empty lines are skipped, other
/// fields ignored, `kind` may be missing. `subject` names the text in errors.
/// Errors: kCorrupt (line number), kInvalidArgument (no task at all).
Result<std::vector<Task>> parse_tasks(std::string_view json_lines, const std::string& subject);

/// Whether a model's text answers a task: what follows the last "</think>" (everything, if there is
/// none), without blanks around it and without one final full stop, ends with `expected` or
/// contains it as a word, case-sensitive. A word has no letter, digit or underscore beside it;
/// bytes outside ASCII count as letters.
bool is_right_answer(std::string_view text, std::string_view expected);

/// Answers one question in a fresh conversation; the text may begin with the model's thinking.
using AnswerFunction = std::function<Result<std::string>(const Task& task)>;

/// How many tasks of one kind were answered right.
struct KindAccuracy {
  std::string kind;
  size_t n_tasks = 0;
  size_t n_right = 0;
};

struct TaskReport {
  size_t n_tasks = 0;
  size_t n_right = 0;
  std::vector<KindAccuracy> by_kind;  ///< in order of first appearance
  std::vector<std::string> answers;   ///< [n_tasks], the texts as given
  double elapsed_s = 0.0;

  double accuracy() const {
    return n_tasks == 0 ? 0.0 : static_cast<double>(n_right) / static_cast<double>(n_tasks);
  }
  /// Wilson, 95 %.
  Interval interval() const { return wilson_interval(n_right, n_tasks); }
};

/// Asks every task once, in order. Progress counts tasks.
/// Errors: kCancelled, and the first error of `answer`.
Result<TaskReport> run_tasks(std::span<const Task> tasks, const AnswerFunction& answer,
                             const ProgressSink& progress = {});

/// {"accuracy", "accuracy_low", "accuracy_high", "n_tasks", "accuracy_by_kind": {kind: share},
/// "n_by_kind": {kind: count}}
Json report_json(const TaskReport& report);

}  // namespace nibble
