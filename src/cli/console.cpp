#include "cli/console.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include "core/file.h"

namespace nibble {
namespace {

constexpr size_t kMaxThreads = 4096;

ProgressStyle progress_style(const GeneralOptions& options) {
  if (options.progress == "none") return ProgressStyle::kNone;
  if (options.progress == "bar") return ProgressStyle::kBar;
  if (options.progress == "lines") return ProgressStyle::kLines;
  if (options.progress == "json") return ProgressStyle::kJson;
  if (options.quiet) return ProgressStyle::kNone;
  return isatty(STDERR_FILENO) != 0 ? ProgressStyle::kBar : ProgressStyle::kLines;
}

bool colours_are_wanted() {
  const char* const no_color = std::getenv("NO_COLOR");
  const char* const term = std::getenv("TERM");
  const bool refused = no_color != nullptr && no_color[0] != '\0';
  const bool dumb = term != nullptr && std::string_view(term) == "dumb";
  return !refused && !dumb;
}

}  // namespace

void GeneralOptions::declare(ArgumentParser& parser) {
  parser.group("General options");
  parser.flag("--json", json, "Print exactly one JSON object on stdout");
  parser.flag("-q,--quiet", quiet, "No progress and no remarks on stderr");
  parser.choice("--progress", progress, {"auto", "bar", "lines", "json", "none"},
                "How to show progress on stderr; auto: a bar on a terminal, else lines");
  parser.option("-t,--threads", n_threads, "Threads; 0: one per processor");
  parser.environment("threads", "NIBBLE_THREADS");
  parser.option("--cpu", cpu, "Force a CPU implementation (scalar, avx2, ...)", "NAME");
  parser.environment("cpu", "NIBBLE_CPU");
  parser.choice("--log-level", log_level, {"debug", "info", "warning", "error", "off"},
                "Least level of log lines on stderr");
  parser.environment("log-level", "NIBBLE_LOG_LEVEL");
}

Status GeneralOptions::check() const {
  if (n_threads <= kMaxThreads) return {};
  return Error(ErrorCode::kInvalidArgument,
               fmt::format("--threads is {}; expected at most {}", n_threads, kMaxThreads));
}

Console::Console(const GeneralOptions& options)
    : json_(options.json),
      quiet_(options.quiet),
      styles_stdout_(isatty(STDOUT_FILENO) != 0 && colours_are_wanted()),
      printer_(progress_style(options)) {}

void Console::print(std::string_view text) {
  if (json_) return;
  printer_.finish();
  write(text);
}

void Console::write(std::string_view text) {
  errno = 0;
  const size_t n_written = std::fwrite(text.data(), 1, text.size(), stdout);
  if (n_written < text.size() && write_error_ == 0) write_error_ = errno;
}

void Console::print_now(std::string_view text) {
  if (json_) return;
  print(text);
  std::fflush(stdout);
}

void Console::print_json(const Json& result) {
  printer_.finish();
  if (!json_) return;
  write(dump_json(result));
}

void Console::note(std::string_view text) {
  if (quiet_) return;
  printer_.finish();
  fmt::print(stderr, "{}\n", text);
}

ProgressSink Console::progress() {
  return [this](const Progress& progress) { printer_.show(progress); };
}

Status Console::flush() {
  errno = 0;
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
    if (write_error_ == 0) write_error_ = errno != 0 ? errno : EIO;
    return system_error(write_error_, "cannot write the result", "stdout");
  }
  return {};
}

void report_error(const Error& error, std::string_view command, int exit_code, bool json) {
  fmt::print(stderr, "nibble{}{}: {}\n", command.empty() ? "" : " ", command, error.to_string());
  if (!json) return;
  const Json object = {{"error",
                        {{"code", error_code_name(error.code)},
                         {"message", error.message},
                         {"subject", error.subject},
                         {"exit_code", exit_code}}}};
  const std::string text = dump_json(object);
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

}  // namespace nibble
