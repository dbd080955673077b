// The scalar reference kernels: one function per entry of CpuKernels, slow and obvious.
#pragma once

#include "backend/cpu/kernels.h"

namespace nibble::scalar {

void gemv(const WeightView& weight, Range rows, const float* x, size_t n_tokens,
          const ProductOut& out, float* scratch);
void decode_row(const WeightView& weight, size_t row, float* out);

void rms_norm(const float* x, size_t x_stride, const float* weight, size_t n_rows, size_t dim,
              float eps, float* out, size_t out_stride);
void gated_rms_norm(const float* x, const float* gate, const float* weight, size_t n_rows,
                    size_t dim, float eps, float* out);

void swiglu(const float* gate, const float* up, size_t n, float* out);
void rope(const RopeArgs& args, Range tokens, float* scratch);
void causal_conv_silu(const ConvArgs& args, Range channels, float* scratch);
void delta_gates(const DeltaGatesArgs& args, Range tokens);

void select_experts(const ExpertSelectionArgs& args, Range tokens);
void combine_experts(const ExpertCombineArgs& args, Range tokens);

void attend(const AttentionArgs& args, size_t head, Range tokens, float* scratch);
size_t attention_scratch_floats(const AttentionArgs& args);

void delta_rule(const DeltaRuleArgs& args, const DeltaPart& part, float* scratch);
size_t delta_rule_scratch_floats(const DeltaRuleArgs& args);

}  // namespace nibble::scalar
