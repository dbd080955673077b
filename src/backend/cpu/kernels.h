// The table of kernels that one CPU implementation consists of. A kernel is a plain single-threaded
// function over a part of the work; CpuBackend cuts ops into parts and owns all memory.
//
// Files under isa/ are compiled for one instruction set each. They use from here only plain data:
// an inline function called there might be emitted with that set's instructions and be picked by
// the linker for the whole program.
#pragma once

#include <cstddef>
#include <cstdint>

#include "backend/backend.h"

namespace nibble {

/// Half-open range of rows, tokens, channels or tiles.
struct Range {
  size_t begin;
  size_t end;
};

/// How blocks of one kind become values.
struct BlockDecoder {
  size_t n_values;  ///< divides 256
  size_t n_bytes;
  void (*decode)(const uint8_t* block, float* values);
};

/// A weight matrix as kernels read it. Elements may lie at any address.
struct WeightView {
  MatrixKind kind;
  size_t rows;
  size_t cols;
  const void* elements;               ///< [rows, cols] of the kind; NVFP4: codes [rows, cols / 2]
  const uint8_t* scales;              ///< NVFP4: [rows, cols / 16]
  const float* scale_values;          ///< NVFP4: [256], the factor that each scale code stands for
  const float* row_scales;            ///< FP8: the scale of row r stands at r * row_scale_step
  size_t row_scale_step;              ///< 0 or 1
  const BlockDecoder* block_decoder;  ///< blocks of GGUF
};

/// Where a product goes: out[t * stride + r] = or +=.
struct ProductOut {
  float* data;
  size_t stride;
  bool accumulate;
};

struct MatmulKernels {
  /// Few tokens: one pass over the weight rows, which are read where they lie.
  ///   x        [n_tokens, cols];  n_tokens at most max_gemv_tokens
  ///   scratch  [cols]
  size_t max_gemv_tokens;
  void (*gemv)(const WeightView& weight, Range rows, const float* x, size_t n_tokens,
               const ProductOut& out, float* scratch);

  /// Many tokens: x is packed once into tiles [n_tiles, cols, token_tile], then each range of rows
  /// (beginning at a multiple of row_tile, at most max_gemm_rows) is decoded and multiplied.
  ///   scratch  [gemm_scratch_floats], aligned to 64
  size_t token_tile;
  size_t row_tile;
  size_t max_gemm_rows;
  size_t gemm_scratch_floats;
  void (*pack_tokens)(const float* x, size_t n_tokens, size_t cols, Range tiles, float* packed);
  void (*gemm)(const WeightView& weight, Range rows, const float* packed, size_t n_tokens,
               const ProductOut& out, float* scratch);

  /// out [cols] = one row of the matrix.
  void (*decode_row)(const WeightView& weight, size_t row, float* out);
};

/// Which part of the delta rule: one value head, columns [begin, end) of its state.
struct DeltaPart {
  size_t head;
  Range columns;
};

struct DeltaRuleKernels {
  /// Token after token. scratch: [recurrent_scratch_floats(args)]
  void (*recurrent)(const DeltaRuleArgs& args, const DeltaPart& part, float* scratch);
  size_t (*recurrent_scratch_floats)(const DeltaRuleArgs& args);
  /// Chunks of tokens as matrix products. scratch: [chunked_scratch_floats(args)], aligned to 64.
  void (*chunked)(const DeltaRuleArgs& args, const DeltaPart& part, float* scratch);
  size_t (*chunked_scratch_floats)(const DeltaRuleArgs& args);
  /// From so many tokens on the chunked form is the faster one.
  size_t min_chunked_tokens;
  /// Columns that one part should have. Chunks share the products of their keys among columns.
  size_t recurrent_columns;
  size_t chunked_columns;
};

struct AttentionKernels {
  /// Query tokens [tokens.begin, tokens.end) of one head; at most token_tile(args) of them.
  ///   scratch  [scratch_floats(args)], aligned to 64
  void (*attend)(const AttentionArgs& args, size_t head, Range tokens, float* scratch);
  size_t (*scratch_floats)(const AttentionArgs& args);
  size_t (*token_tile)(const AttentionArgs& args);
};

struct CpuKernels {
  MatmulKernels matmul;
  DeltaRuleKernels delta_rule;
  AttentionKernels attention;

  void (*rms_norm)(const float* x, size_t x_stride, const float* weight, size_t n_rows, size_t dim,
                   float eps, float* out, size_t out_stride);
  void (*gated_rms_norm)(const float* x, const float* gate, const float* weight, size_t n_rows,
                         size_t dim, float eps, float* out);
  void (*swiglu)(const float* gate, const float* up, size_t n, float* out);
  /// Tokens of the range. scratch: [rotary_dim]
  void (*rope)(const RopeArgs& args, Range tokens, float* scratch);
  /// Channels of the range, all tokens, and their part of the state.
  /// scratch: [kernel, channels in the range]
  void (*causal_conv_silu)(const ConvArgs& args, Range channels, float* scratch);
  /// Tokens of the range.
  void (*delta_gates)(const DeltaGatesArgs& args, Range tokens);
  /// Tokens of the range.
  void (*select_experts)(const ExpertSelectionArgs& args, Range tokens);
  void (*combine_experts)(const ExpertCombineArgs& args, Range tokens);
};

const CpuKernels& scalar_kernels();
#if defined(__x86_64__)
const CpuKernels& avx2_kernels();
const CpuKernels& avx512_kernels();
#endif

}  // namespace nibble
