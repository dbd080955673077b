// The avx512 implementation: every vector kernel, compiled for it.
#include "backend/cpu/isa/simd_avx512.h"
#include "backend/cpu/isa/vector_table.h"

namespace nibble {
namespace {

constexpr CpuKernels kTable = make_vector_table<Avx512>(64);

}  // namespace

const CpuKernels& avx512_kernels() { return kTable; }

}  // namespace nibble
