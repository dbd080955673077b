// Runs the built program as a user would and catches what it prints.
#pragma once

#include <csignal>
#include <functional>
#include <string>
#include <vector>

namespace nibble::test {

/// How a run ended.
struct RunResult {
  int exit_code = -1;  ///< 128 + signal number if a signal killed it
  std::string out;
  std::string err;
};

struct RunOptions {
  std::string input;                      ///< what stdin holds
  std::vector<std::string> environment;   ///< "NAME=value", added to ours
  int signal_at_first_progress = 0;       ///< sent when the first line on stderr is complete
  int kill_after_us = -1;                 ///< SIGKILL after so many microseconds; -1: never
  unsigned long long max_file_bytes = 0;  ///< 0: no limit on the size of files it writes
  std::string stdout_file;                ///< where stdout goes in place of `out`
};

/// Runs build's nibble with these arguments and waits for it.
RunResult run_nibble(const std::vector<std::string>& arguments, const RunOptions& options = {});

}  // namespace nibble::test
