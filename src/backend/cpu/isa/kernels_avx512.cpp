// The "avx512" implementation: every vector kernel, compiled for that instruction set.
#include "backend/cpu/isa/simd_avx512.h"
#include "backend/cpu/isa/vector_table.h"

namespace nibble {
namespace {

// Two chunks: below, setting a chunk up costs more than it saves (vector_delta_rule_chunked.h).
constexpr size_t kMinChunkedTokens = 64;
constexpr CpuKernels kTable = make_vector_table<Avx512>(kMinChunkedTokens);

}  // namespace

const CpuKernels& avx512_kernels() { return kTable; }

}  // namespace nibble
