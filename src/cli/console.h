// Where a command's output goes: results to stdout, everything else to stderr.
#pragma once

#include <string>
#include <string_view>

#include "cli/argument_parser.h"
#include "cli/terminal/progress_printer.h"
#include "core/json.h"
#include "core/progress.h"
#include "core/result.h"

namespace nibble {

/// The options that every command takes.
struct GeneralOptions {
  bool json = false;
  bool quiet = false;
  std::string progress = "auto";
  size_t n_threads = 0;
  std::string cpu;
  std::string log_level = "warning";

  void declare(ArgumentParser& parser);
  /// Errors: kInvalidArgument for more threads than any machine has.
  Status check() const;
};

/// The two streams of a running command. With --json, stdout carries exactly one JSON object, the
/// result or the error, and texts for people are dropped.
class Console {
 public:
  explicit Console(const GeneralOptions& options);

  bool json() const { return json_; }
  bool quiet() const { return quiet_; }
  /// Whether stdout (stderr) is a terminal that may be coloured: NO_COLOR is respected.
  bool styles_stdout() const { return styles_stdout_; }

  /// Text for people on stdout; nothing with --json.
  void print(std::string_view text);
  /// The same, sent to the terminal at once (streaming).
  void print_now(std::string_view text);
  /// The result on stdout with --json; otherwise nothing.
  void print_json(const Json& result);
  /// A remark on stderr; nothing with --quiet.
  void note(std::string_view text);

  /// A sink that draws on stderr as long as the console lives.
  ProgressSink progress();
  /// Removes the progress bar.
  void finish_progress() { printer_.finish(); }

  /// Pushes stdout to its reader. Errors: kIo, kNoSpace (the reader or the disk is gone).
  Status flush();

 private:
  void write(std::string_view text);

  bool json_;
  bool quiet_;
  bool styles_stdout_;
  int write_error_ = 0;  ///< errno of the first failed write to stdout
  ProgressPrinter printer_;
};

/// Writes the error of a command: a line on stderr, and with `json` the object
/// {"error": {"code", "message", "subject", "exit_code"}} on stdout.
void report_error(const Error& error, std::string_view command, int exit_code, bool json);

}  // namespace nibble
