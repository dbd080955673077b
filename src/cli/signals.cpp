#include "cli/signals.h"

#include <signal.h>
#include <unistd.h>

#include "core/cancel.h"

namespace nibble {
namespace {

void on_stop_signal(int signal_number) {
  if (cancel_signal() != 0) _exit(128 + signal_number);
  request_cancel(signal_number);
}

}  // namespace

void install_signal_handlers() {
  struct sigaction action {};
  action.sa_handler = on_stop_signal;
  sigemptyset(&action.sa_mask);
  action.sa_flags = 0;  // no SA_RESTART: a blocked read of the terminal must return
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  // A limit on the size of files (ulimit -f) is then an error of the write, with a message.
  action.sa_handler = SIG_IGN;
  sigaction(SIGXFSZ, &action, nullptr);
}

}  // namespace nibble
