// The table of an implementation on vectors of S, a Simd of simd_<isa>.h.
#pragma once

#include "backend/cpu/isa/scalar.h"
#include "backend/cpu/isa/vector_attention.h"
#include "backend/cpu/isa/vector_delta_rule_chunked.h"
#include "backend/cpu/isa/vector_elementwise.h"
#include "backend/cpu/isa/vector_experts.h"
#include "backend/cpu/isa/vector_matmul.h"
#include "backend/cpu/isa/vector_norm.h"

namespace nibble {

template <class S>
constexpr CpuKernels make_vector_table(size_t min_chunked_tokens) {
  using Steps = VectorDeltaRule<S>;
  using Chunks = ChunkedDeltaRule<S>;
  using Attention = VectorAttention<S>;
  using Elementwise = VectorElementwise<S>;
  CpuKernels table{};
  table.matmul = MatmulEntries<S>::table();
  table.delta_rule = {Steps::run,
                      Steps::scratch_floats,
                      Chunks::run,
                      Chunks::scratch_floats,
                      min_chunked_tokens,
                      64,
                      128};
  table.attention = {Attention::attend, Attention::scratch_floats, Attention::token_tile};
  table.rms_norm = VectorNorm<S>::rms_norm;
  table.gated_rms_norm = VectorNorm<S>::gated_rms_norm;
  table.swiglu = Elementwise::swiglu;
  table.rope = Elementwise::rope;
  table.causal_conv_silu = Elementwise::causal_conv_silu;
  // A few values per token: not worth a second version.
  table.delta_gates = scalar::delta_gates;
  table.select_experts = scalar::select_experts;
  table.combine_experts = VectorExperts<S>::combine;
  return table;
}

}  // namespace nibble
