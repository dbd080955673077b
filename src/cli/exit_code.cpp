#include "cli/exit_code.h"

#include "core/cancel.h"

namespace nibble {

int exit_code_of(const Error& error) {
  const auto number = [](ExitCode code) { return static_cast<int>(code); };
  switch (error.code) {
    case ErrorCode::kInvalidArgument:
    case ErrorCode::kAlreadyExists:
      return number(ExitCode::kBadArguments);
    case ErrorCode::kNotFound:
      return number(ExitCode::kModelNotFound);
    case ErrorCode::kUnsupportedArchitecture:
      return number(ExitCode::kUnsupportedArchitecture);
    case ErrorCode::kOutOfMemory:
      return number(ExitCode::kOutOfMemory);
    case ErrorCode::kCancelled:
      return cancel_signal() != 0 ? 128 + cancel_signal() : number(ExitCode::kFailure);
    case ErrorCode::kPermission:
    case ErrorCode::kIo:
    case ErrorCode::kNoSpace:
    case ErrorCode::kCorrupt:
    case ErrorCode::kUnsupported:
    case ErrorCode::kNotFinite:
    case ErrorCode::kMismatch:
    case ErrorCode::kLimit:
      return number(ExitCode::kFailure);
  }
  return number(ExitCode::kFailure);
}

const char* exit_code_help() {
  return "Exit codes:\n"
         "  0    done\n"
         "  1    failed: damaged input, disk full or not writable, template or model error\n"
         "  2    bad arguments, including an output folder that exists already\n"
         "  3    model not found: the folder, or a file it needs, does not exist\n"
         "  4    unsupported architecture\n"
         "  5    out of memory\n"
         "  6    verification failed\n"
         "  130  stopped by Ctrl-C (143: by SIGTERM) before the work was done\n";
}

Error as_template_failure(const Error& error) {
  if (error.code != ErrorCode::kInvalidArgument) return error;
  return Error(ErrorCode::kMismatch, error.message, error.subject);
}

}  // namespace nibble
