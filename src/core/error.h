// The error value that every fallible function of nibble returns instead of throwing.
#pragma once

#include <string>
#include <string_view>
#include <utility>

namespace nibble {

/// What kind of thing went wrong. The command line maps each kind to an exit code
/// (cli/exit_code.h).
enum class ErrorCode {
  kInvalidArgument,          ///< a flag, parameter or request that cannot be carried out as given
  kNotFound,                 ///< a file, folder or tensor that should exist does not
  kAlreadyExists,            ///< an output that would be overwritten
  kPermission,               ///< the operating system refused access
  kIo,                       ///< reading or writing failed
  kNoSpace,                  ///< the disk is full
  kCorrupt,                  ///< bytes that contradict their own format
  kUnsupported,              ///< valid, but not something nibble can do
  kUnsupportedArchitecture,  ///< a checkpoint of a model family that nibble does not know
  kNotFinite,                ///< a NaN or infinity where a number is required
  kMismatch,                 ///< two things that must agree do not (verification, shapes, sources)
  kOutOfMemory,              ///< not enough memory, found out before or while allocating
  kLimit,                    ///< a safety limit on size, depth, steps or time was reached
  kCancelled,                ///< the user interrupted the work
};

/// The code's name without its `k`, for logs and JSON ("NotFound").
std::string_view error_code_name(ErrorCode code);

/// One failure: a code, a message that says what was tried, found, expected and what to do, and the
/// file or tensor it concerns (empty if none; it is not repeated in `message`).
struct Error {
  ErrorCode code;
  std::string message;
  std::string subject;

  Error(ErrorCode c, std::string m, std::string s = {})
      : code(c), message(std::move(m)), subject(std::move(s)) {}

  /// "subject: message", or only the message where there is no subject.
  std::string to_string() const;
};

}  // namespace nibble
