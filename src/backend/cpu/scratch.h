// Working memory that only grows: ops ask for a size each time and allocate nothing once warm.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>

#include "core/check.h"

namespace nibble {

class Scratch {
 public:
  /// At least `n_floats` floats, aligned to 64, contents undefined. The last pointer becomes
  /// invalid.
  float* floats(size_t n_floats) {
    if (n_floats > n_floats_) {
      const size_t n_bytes = (n_floats * sizeof(float) + 63) / 64 * 64;
      data_.reset();
      data_.reset(static_cast<float*>(std::aligned_alloc(64, n_bytes)));
      CHECK(data_ != nullptr);
      n_floats_ = n_floats;
    }
    return data_.get();
  }

 private:
  struct Free {
    void operator()(float* data) const { std::free(data); }
  };
  std::unique_ptr<float, Free> data_;
  size_t n_floats_ = 0;
};

}  // namespace nibble
