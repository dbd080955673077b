// The avx2 implementation: every vector kernel, compiled for it.
#include "backend/cpu/isa/simd_avx2.h"
#include "backend/cpu/isa/vector_table.h"

namespace nibble {
namespace {

constexpr CpuKernels kTable = make_vector_table<Avx2>(64);

}  // namespace

const CpuKernels& avx2_kernels() { return kTable; }

}  // namespace nibble
