#include "cli/terminal/line_editor.h"

#include <histedit.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cwchar>

#include "core/cancel.h"

namespace nibble {
namespace {

constexpr int kRememberedLines = 1000;

LineOutcome read_plain_line(std::string& line) {
  char* buffer = nullptr;
  size_t capacity = 0;
  const ssize_t n_bytes = ::getline(&buffer, &capacity, stdin);
  if (n_bytes > 0) line.assign(buffer, static_cast<size_t>(n_bytes));
  std::free(buffer);
  if (cancel_signal() != 0) return LineOutcome::kInterrupted;
  return n_bytes > 0 ? LineOutcome::kLine : LineOutcome::kEnd;
}

/// Reads one character for the library, giving up when a signal asks for it: the library's own
/// reader would try again.
int read_character(EditLine*, wchar_t* out) {
  std::mbstate_t state{};
  while (true) {
    char byte = 0;
    const ssize_t n_read = ::read(STDIN_FILENO, &byte, 1);
    if (n_read == 0) return 0;
    if (n_read < 0) {
      if (errno == EINTR && cancel_signal() == 0) continue;
      return -1;
    }
    const size_t used = std::mbrtowc(out, &byte, 1, &state);
    if (used == static_cast<size_t>(-2)) continue;  // the character is not complete
    if (used == static_cast<size_t>(-1)) *out = L'?';
    return 1;
  }
}

void strip_newline(std::string& line) {
  while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.pop_back();
}

}  // namespace

struct LineEditor::Terminal {
  EditLine* editor = nullptr;
  History* history = nullptr;
  std::string prompt;

  Terminal() {
    editor = el_init("nibble", stdin, stdout, stderr);
    history = history_init();
    HistEvent event;
    ::history(history, &event, H_SETSIZE, kRememberedLines);
    ::history(history, &event, H_SETUNIQUE, 1);
    el_set(editor, EL_CLIENTDATA, this);
    el_set(editor, EL_PROMPT_ESC, &Terminal::show_prompt, '\1');
    el_set(editor, EL_EDITOR, "emacs");
    el_set(editor, EL_GETCFN, &read_character);
    el_set(editor, EL_HIST, ::history, history);
    el_source(editor, nullptr);  // the user's own ~/.editrc
  }
  ~Terminal() {
    history_end(history);
    el_end(editor);
  }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  static char* show_prompt(EditLine* line_editor) {
    Terminal* self = nullptr;
    el_get(line_editor, EL_CLIENTDATA, &self);
    return self->prompt.data();
  }

  LineOutcome read(std::string& line) {
    int n_characters = 0;
    const char* const text = el_gets(editor, &n_characters);
    if (cancel_signal() != 0) {
      std::fputs("\n", stdout);
      return LineOutcome::kInterrupted;
    }
    if (text == nullptr || n_characters <= 0) return LineOutcome::kEnd;
    line = text;
    if (line.find_first_not_of(" \t\r\n") != std::string::npos) {
      HistEvent event;
      ::history(history, &event, H_ENTER, line.c_str());
    }
    return LineOutcome::kLine;
  }
};

LineEditor::LineEditor() {
  if (isatty(STDIN_FILENO) != 0 && isatty(STDOUT_FILENO) != 0) {
    terminal_ = std::make_unique<Terminal>();
  }
}
LineEditor::~LineEditor() = default;

bool LineEditor::is_interactive() const { return terminal_ != nullptr; }

LineOutcome LineEditor::read(const std::string& prompt, std::string& line) {
  line.clear();
  if (cancel_signal() != 0) return LineOutcome::kInterrupted;
  LineOutcome outcome = LineOutcome::kEnd;
  if (terminal_) {
    terminal_->prompt = prompt;
    outcome = terminal_->read(line);
  } else {
    outcome = read_plain_line(line);
  }
  strip_newline(line);
  return outcome;
}

}  // namespace nibble
