// What the kernel benchmarks share: backends of every implementation, one thread and all of them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backend/cpu_backend.h"
#include "core/check.h"
#include "core/thread_pool.h"

namespace nibble::bench {

inline std::unique_ptr<Backend> make_backend(const std::string& implementation, size_t n_threads) {
  CpuOptions options;
  options.implementation = implementation;
  options.n_threads = n_threads;
  auto backend = make_cpu_backend(options);
  CHECK(backend.has_value());
  return std::move(backend).value();
}

inline std::vector<std::string> supported_implementations() {
  std::vector<std::string> names;
  for (const CpuImplementationInfo& info : cpu_implementations()) {
    if (info.supported) names.emplace_back(info.name);
  }
  return names;
}

inline std::vector<size_t> thread_counts() {
  const size_t all = available_processors();
  return all == 1 ? std::vector<size_t>{1} : std::vector<size_t>{1, all};
}

}  // namespace nibble::bench
