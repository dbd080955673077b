// How a template stops: an exception private to the interpreter.
//
// Nearly every operation of the language can fail, deep inside expressions; Template::parse and
// Template::render are the only two places that catch a Failure and turn it into an Error value.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/error.h"

namespace nibble::jinja {

/// A place in the template: the byte offset in its text with newlines made uniform.
using Position = uint32_t;

struct Failure {
  ErrorCode code;
  std::string message;
  std::optional<Position> position;  ///< unless set, the place that was being evaluated
};

/// Stops rendering: the template did something that Python or Jinja refuses.
[[noreturn]] inline void fail(std::string message) {
  throw Failure{ErrorCode::kInvalidArgument, std::move(message), std::nullopt};
}

/// Stops because a safety limit was reached.
[[noreturn]] inline void fail_limit(std::string message) {
  throw Failure{ErrorCode::kLimit, std::move(message), std::nullopt};
}

/// Stops parsing.
[[noreturn]] inline void fail_syntax(std::string message, Position position) {
  throw Failure{ErrorCode::kCorrupt, std::move(message), position};
}

}  // namespace nibble::jinja
