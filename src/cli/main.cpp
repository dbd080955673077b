// The entry point of nibble.
#include <clocale>
#include <cstdlib>
#include <string>
#include <vector>

#include "cli/program.h"
#include "cli/signals.h"

int main(int argc, char** argv) {
  // Only character classes follow the user's settings (line editing); numbers always use points.
  std::setlocale(LC_CTYPE, "");
  if (MB_CUR_MAX == 1) std::setlocale(LC_CTYPE, "C.UTF-8");
  nibble::install_signal_handlers();
  const std::vector<std::string> arguments(argc > 0 ? argv + 1 : argv, argv + argc);
  return nibble::run_program(arguments);
}
