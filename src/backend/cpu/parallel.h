// How CpuBackend spreads parts over its threads. For the files that implement CpuBackend.
#pragma once

#include <algorithm>
#include <atomic>
#include <functional>

#include "backend/cpu/cpu_backend_impl.h"

namespace nibble {

template <typename Body>
void CpuBackend::for_each(size_t n_items, size_t scratch_floats, const Body& body) {
  if (n_items == 0) return;
  const size_t n_threads = std::min(n_items, pool_.n_threads());
  for (size_t thread = 0; thread < n_threads; ++thread) scratch_[thread].floats(scratch_floats);
  if (n_threads == 1) {
    float* scratch = scratch_[0].floats(scratch_floats);
    for (size_t item = 0; item < n_items; ++item) body(item, scratch);
    return;
  }
  // Items are taken one by one: unequal ones and busy processors even out. Which thread computes
  // an item never changes its result.
  std::atomic<size_t> next{0};
  const auto job = [&](size_t thread) {
    if (thread >= n_threads) return;
    float* scratch = scratch_[thread].floats(scratch_floats);
    for (size_t item = next.fetch_add(1, std::memory_order_relaxed); item < n_items;
         item = next.fetch_add(1, std::memory_order_relaxed)) {
      body(item, scratch);
    }
  };
  pool_.run(std::cref(job));  // a reference: std::function would copy the lambda to the heap
}

template <typename Body>
void CpuBackend::for_ranges(size_t n, size_t grain, size_t scratch_floats, const Body& body) {
  const size_t n_ranges = (n + grain - 1) / grain;
  for_each(n_ranges, scratch_floats, [&](size_t index, float* scratch) {
    body(Range{index * grain, std::min(n, (index + 1) * grain)}, scratch);
  });
}

}  // namespace nibble
