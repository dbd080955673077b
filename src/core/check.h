// CHECK: aborts on a bug in nibble itself. Never used on anything that comes from outside.
#pragma once

namespace nibble {

/// Prints the failed condition and its place to stderr and aborts.
[[noreturn]] void check_failed(const char* condition, const char* file, int line);

}  // namespace nibble

#define CHECK(condition)                                      \
  do {                                                        \
    if (!(condition)) [[unlikely]] {                          \
      ::nibble::check_failed(#condition, __FILE__, __LINE__); \
    }                                                         \
  } while (false)
