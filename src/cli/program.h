// The whole program as a function: picks the command, reads its arguments, runs it.
#pragma once

#include <span>
#include <string>

namespace nibble {

/// Runs one command line (without the program's own name) and returns the exit code.
int run_program(std::span<const std::string> arguments);

}  // namespace nibble
