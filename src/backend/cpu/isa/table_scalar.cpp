// The reference implementation's table.
#include <cstdint>

#include "backend/cpu/isa/scalar.h"

namespace nibble {
namespace {

size_t one_token(const AttentionArgs&) { return 1; }

constexpr CpuKernels make_table() {
  CpuKernels table{};
  table.matmul.max_gemv_tokens = SIZE_MAX;
  table.matmul.gemv = scalar::gemv;
  table.matmul.decode_row = scalar::decode_row;
  // There is no second form: the recurrence defines the result.
  table.delta_rule.recurrent = scalar::delta_rule;
  table.delta_rule.recurrent_scratch_floats = scalar::delta_rule_scratch_floats;
  table.delta_rule.chunked = scalar::delta_rule;
  table.delta_rule.chunked_scratch_floats = scalar::delta_rule_scratch_floats;
  table.delta_rule.min_chunked_tokens = SIZE_MAX;
  table.delta_rule.recurrent_columns = 32;
  table.delta_rule.chunked_columns = 32;
  table.attention.attend = scalar::attend;
  table.attention.scratch_floats = scalar::attention_scratch_floats;
  table.attention.token_tile = one_token;
  table.rms_norm = scalar::rms_norm;
  table.gated_rms_norm = scalar::gated_rms_norm;
  table.swiglu = scalar::swiglu;
  table.rope = scalar::rope;
  table.causal_conv_silu = scalar::causal_conv_silu;
  table.delta_gates = scalar::delta_gates;
  table.select_experts = scalar::select_experts;
  table.combine_experts = scalar::combine_experts;
  return table;
}

constexpr CpuKernels kTable = make_table();

}  // namespace

const CpuKernels& scalar_kernels() { return kTable; }

}  // namespace nibble
