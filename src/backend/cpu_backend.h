// The CPU backend: which implementations this machine can run, and making one.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "backend/backend.h"

namespace nibble {

struct CpuOptions {
  size_t n_threads = 0;        ///< 0: one per processor that this process may use
  std::string implementation;  ///< a name of cpu_implementations(); empty: the best supported
};

/// One compiled set of kernels.
struct CpuImplementationInfo {
  std::string_view name;         ///< "scalar", "avx2", "avx512"
  std::string_view description;  ///< what it needs
  bool supported;                ///< by the processor we run on
};

/// Every compiled implementation, slowest first; the scalar reference is always there.
std::vector<CpuImplementationInfo> cpu_implementations();

/// Errors: kInvalidArgument (unknown name, listing the known ones), kUnsupported (this processor
/// cannot run it).
Result<std::unique_ptr<Backend>> make_cpu_backend(const CpuOptions& options);

}  // namespace nibble
