#include "core/check.h"

#include <cstdio>
#include <cstdlib>

namespace nibble {

void check_failed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "nibble: bug: %s:%d: CHECK(%s) failed\n", file, line, condition);
  std::abort();
}

}  // namespace nibble
