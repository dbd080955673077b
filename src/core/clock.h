// Monotonic time in seconds.
#pragma once

#include <chrono>

namespace nibble {

/// Measures wall time from its construction or last restart.
class Stopwatch {
 public:
  void restart() { start_ = Clock::now(); }
  double elapsed_s() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point start_ = Clock::now();
};

}  // namespace nibble
