// The exit codes of the program and which failure gives which.
#pragma once

#include "core/error.h"

namespace nibble {

/// After a signal that cut work short the code is 128 + the signal's number: 130 (Ctrl-C), 143.
enum class ExitCode : int {
  kOk = 0,
  kFailure = 1,                  ///< reading, writing, computing failed; a damaged checkpoint
  kBadArguments = 2,             ///< the command line cannot be carried out as given
  kModelNotFound = 3,            ///< the model folder, or a file it needs, does not exist
  kUnsupportedArchitecture = 4,  ///< a model family that nibble does not know
  kOutOfMemory = 5,
  kVerificationFailed = 6,  ///< `verify` found a difference
};

/// The code for an error that ends a command.
int exit_code_of(const Error& error);

/// The table of codes, for --help.
const char* exit_code_help();

/// A template that refuses the messages it is given has failed; the arguments were good. Other
/// errors pass unchanged.
Error as_template_failure(const Error& error);

}  // namespace nibble
