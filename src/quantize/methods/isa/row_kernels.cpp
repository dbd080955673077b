#include "quantize/methods/isa/row_kernels.h"

#include <vector>

#include "backend/cpu_backend.h"

namespace nibble {
namespace {

std::vector<const RowKernels*> find_usable() {
  std::vector<const RowKernels*> usable = {&scalar_row_kernels()};
#if defined(__x86_64__)
  for (const CpuImplementationInfo& info : cpu_implementations()) {
    if (info.supported && info.name == avx512_row_kernels().name) {
      usable.push_back(&avx512_row_kernels());
    }
  }
#endif
  return usable;
}

}  // namespace

std::span<const RowKernels* const> usable_row_kernels() {
  static const std::vector<const RowKernels*> usable = find_usable();
  return usable;
}

const RowKernels& best_row_kernels() { return *usable_row_kernels().back(); }

}  // namespace nibble
