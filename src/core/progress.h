// How long work tells its caller how far it is; the command line turns it into a bar, lines or
// JSON.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace nibble {

/// A moment of long work. `done` and `total` share a unit; total 0 means unknown.
struct Progress {
  std::string phase;  ///< "quantize", "verify", "eval"
  std::string item;   ///< current tensor, file or question
  uint64_t done = 0;
  uint64_t total = 0;
  bool counts_bytes = true;  ///< the unit: bytes, or items
};

/// Called often and from one thread at a time; must be cheap. May be empty: check before calling.
using ProgressSink = std::function<void(const Progress&)>;

}  // namespace nibble
