// Reads lines from the user: with editing and history on a terminal, plainly elsewhere.
#pragma once

#include <memory>
#include <string>

namespace nibble {

/// How reading a line ended.
enum class LineOutcome {
  kLine,         ///< a line was read
  kEnd,          ///< end of input, Ctrl-D
  kInterrupted,  ///< Ctrl-C; core/cancel.h knows the signal
};

/// One per program: the terminal is a single thing. Remembers lines of this run only.
class LineEditor {
 public:
  LineEditor();
  ~LineEditor();
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;

  /// Whether a person sits at the other end: stdin and stdout are terminals.
  bool is_interactive() const;

  /// Reads one line into `line`, without its newline. The prompt is shown to people only.
  LineOutcome read(const std::string& prompt, std::string& line);

 private:
  struct Terminal;
  std::unique_ptr<Terminal> terminal_;  // null where there is no terminal
};

}  // namespace nibble
