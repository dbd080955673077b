#include "core/error.h"

namespace nibble {

std::string_view error_code_name(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
      return "InvalidArgument";
    case ErrorCode::kNotFound:
      return "NotFound";
    case ErrorCode::kAlreadyExists:
      return "AlreadyExists";
    case ErrorCode::kPermission:
      return "Permission";
    case ErrorCode::kIo:
      return "Io";
    case ErrorCode::kNoSpace:
      return "NoSpace";
    case ErrorCode::kCorrupt:
      return "Corrupt";
    case ErrorCode::kUnsupported:
      return "Unsupported";
    case ErrorCode::kUnsupportedArchitecture:
      return "UnsupportedArchitecture";
    case ErrorCode::kNotFinite:
      return "NotFinite";
    case ErrorCode::kMismatch:
      return "Mismatch";
    case ErrorCode::kOutOfMemory:
      return "OutOfMemory";
    case ErrorCode::kLimit:
      return "Limit";
    case ErrorCode::kCancelled:
      return "Cancelled";
  }
  return "Unknown";
}

std::string Error::to_string() const {
  return subject.empty() ? message : subject + ": " + message;
}

}  // namespace nibble
