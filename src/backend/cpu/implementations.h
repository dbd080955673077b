// The list of CPU implementations and the choice among them.
#pragma once

#include <span>
#include <string_view>

#include "backend/cpu/kernels.h"
#include "core/result.h"

namespace nibble {

/// One compiled implementation.
struct CpuImplementation {
  std::string_view name;
  std::string_view description;
  bool (*supported)();  ///< by this processor and its operating system
  const CpuKernels& (*kernels)();
};

/// All that are compiled in, slowest first.
std::span<const CpuImplementation> compiled_cpu_implementations();

/// The one of that name, or the last supported one for an empty name.
/// Errors: kInvalidArgument, kUnsupported.
Result<const CpuImplementation*> choose_cpu_implementation(std::string_view name);

}  // namespace nibble
