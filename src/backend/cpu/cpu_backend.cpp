#include "backend/cpu_backend.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "backend/cpu/cpu_backend_impl.h"
#include "backend/cpu/cpu_matrix.h"
#include "backend/cpu/parallel.h"

namespace nibble {
namespace {

// Values that one part of an element-wise op should hold: some 5 us of work, so that waking a
// thread (about 1 us) pays.
constexpr size_t kValuesPerPart = 16384;

size_t rows_per_part(size_t dim) {
  return std::max<size_t>(1, kValuesPerPart / std::max<size_t>(1, dim));
}

// More than any process can address: refused without asking.
constexpr size_t kAddressableBytes = SIZE_MAX >> 17;

// Buffers lie at a multiple of 64 inside a zeroed block, whose address stands just before them.
void release_buffer(void* data, void* /*backend*/) { std::free(static_cast<void**>(data)[-1]); }

}  // namespace

CpuBackend::CpuBackend(const CpuImplementation& implementation, size_t n_threads)
    : implementation_(implementation),
      kernels_(implementation.kernels()),
      pool_(n_threads),
      scratch_(pool_.n_threads()) {}

std::string CpuBackend::description() const {
  const size_t n = pool_.n_threads();
  return fmt::format("cpu ({}, {} thread{})", implementation_.name, n, n == 1 ? "" : "s");
}

bool CpuBackend::supports(MatrixKind kind, uint64_t /*rows*/, uint64_t cols) const {
  return cols % matrix_block_values(kind) == 0;
}

Result<Buffer> CpuBackend::allocate(size_t n_bytes) {
  constexpr size_t kAlignment = 64;
  const size_t extra = kAlignment + sizeof(void*);
  // calloc leaves the pages of large blocks to be zeroed by the system when first touched.
  void* block = n_bytes <= kAddressableBytes ? std::calloc(n_bytes + extra, 1) : nullptr;
  if (block == nullptr) {
    return Error(ErrorCode::kOutOfMemory,
                 fmt::format("could not allocate {} bytes of working memory", n_bytes));
  }
  void* data = static_cast<char*>(block) + sizeof(void*);
  size_t space = n_bytes + extra - sizeof(void*);
  data = std::align(kAlignment, n_bytes, data, space);
  static_cast<void**>(data)[-1] = block;
  return Buffer(data, n_bytes, release_buffer, this);
}

void CpuBackend::upload(const void* host, size_t n_bytes, void* device) {
  if (n_bytes != 0) std::memcpy(device, host, n_bytes);
}

void CpuBackend::download(const void* device, size_t n_bytes, void* host) {
  if (n_bytes != 0) std::memcpy(host, device, n_bytes);
}

void CpuBackend::zero(void* device, size_t n_bytes) {
  if (n_bytes != 0) std::memset(device, 0, n_bytes);
}

Result<std::unique_ptr<Matrix>> CpuBackend::load_matrix(const MatrixSource& source) {
  return CpuMatrix::borrow(source);
}

void CpuBackend::embed(const Matrix& table, std::span<const int32_t> tokens, float* out) {
  const WeightView& view = static_cast<const CpuMatrix&>(table).view();
  for (size_t t = 0; t < tokens.size(); ++t) {
    kernels_.matmul.decode_row(view, static_cast<size_t>(tokens[t]), out + t * view.cols);
  }
}

void CpuBackend::rms_norm(ConstRows x, const float* weight, size_t dim, float eps, Rows out) {
  for_ranges(x.n_rows, rows_per_part(dim), 0, [&](Range rows, float*) {
    kernels_.rms_norm(x.data + rows.begin * x.stride, x.stride, weight, rows.end - rows.begin, dim,
                      eps, out.data + rows.begin * out.stride, out.stride);
  });
}

void CpuBackend::gated_rms_norm(const float* x, const float* gate, const float* weight,
                                size_t n_rows, size_t dim, float eps, float* out) {
  for_ranges(n_rows, rows_per_part(dim), 0, [&](Range rows, float*) {
    const size_t first = rows.begin * dim;
    kernels_.gated_rms_norm(x + first, gate + first, weight, rows.end - rows.begin, dim, eps,
                            out + first);
  });
}

void CpuBackend::swiglu(const float* gate, const float* up, size_t n, float* out) {
  for_ranges(n, kValuesPerPart, 0, [&](Range part, float*) {
    kernels_.swiglu(gate + part.begin, up + part.begin, part.end - part.begin, out + part.begin);
  });
}

void CpuBackend::rope(const RopeArgs& args) {
  for_ranges(args.n_tokens, rows_per_part(args.n_heads * args.rotary_dim * 4), args.rotary_dim,
             [&](Range tokens, float* scratch) { kernels_.rope(args, tokens, scratch); });
}

void CpuBackend::kv_append(const KvAppendArgs& args) {
  const size_t dim = args.head_dim;
  for (size_t t = 0; t < args.n_tokens; ++t) {
    for (size_t h = 0; h < args.n_kv_heads; ++h) {
      const size_t from = (t * args.n_kv_heads + h) * dim;
      const size_t to = (h * args.cache_capacity + args.first_position + t) * dim;
      std::memcpy(args.k_cache + to, args.k + from, dim * sizeof(float));
      std::memcpy(args.v_cache + to, args.v + from, dim * sizeof(float));
    }
  }
}

void CpuBackend::attention(const AttentionArgs& args) {
  if (args.n_tokens == 0) return;
  const AttentionKernels& kernels = kernels_.attention;
  const size_t tile = kernels.token_tile(args);
  const size_t n_tiles = (args.n_tokens + tile - 1) / tile;
  for_each(n_tiles * args.n_heads, kernels.scratch_floats(args), [&](size_t item, float* scratch) {
    // Late tiles see the most keys: they go first, so that threads finish together.
    const size_t begin = (n_tiles - 1 - item / args.n_heads) * tile;
    const Range tokens{begin, std::min(args.n_tokens, begin + tile)};
    kernels.attend(args, item % args.n_heads, tokens, scratch);
  });
}

void CpuBackend::causal_conv_silu(const ConvArgs& args) {
  if (args.n_tokens == 0) return;
  // Whole cache lines of channels, as many parts as threads or fewer.
  const size_t n_threads = pool_.n_threads();
  const size_t share = (args.n_channels + n_threads - 1) / n_threads;
  const size_t grain = std::max((share + 63) / 64 * 64, rows_per_part(args.n_tokens));
  for_ranges(args.n_channels, grain, args.kernel * grain, [&](Range channels, float* scratch) {
    kernels_.causal_conv_silu(args, channels, scratch);
  });
}

void CpuBackend::delta_gates(const DeltaGatesArgs& args) {
  // Exponentials and logarithms: each value costs about as much as sixteen of other ops.
  for_ranges(args.n_tokens, rows_per_part(args.n_heads * 16), 0,
             [&](Range tokens, float*) { kernels_.delta_gates(args, tokens); });
}

void CpuBackend::delta_rule(const DeltaRuleArgs& args) {
  if (args.n_tokens == 0 || args.value_dim == 0) return;
  const DeltaRuleKernels& kernels = kernels_.delta_rule;
  const bool chunked = args.n_tokens >= kernels.min_chunked_tokens;
  const size_t scratch_floats =
      chunked ? kernels.chunked_scratch_floats(args) : kernels.recurrent_scratch_floats(args);
  // The columns of a head's state do not depend on each other.
  const size_t tile = chunked ? kernels.chunked_columns : kernels.recurrent_columns;
  const size_t n_tiles = (args.value_dim + tile - 1) / tile;
  for_each(args.n_value_heads * n_tiles, scratch_floats, [&](size_t item, float* scratch) {
    const size_t begin = item % n_tiles * tile;
    const DeltaPart part{item / n_tiles, {begin, std::min(args.value_dim, begin + tile)}};
    (chunked ? kernels.chunked : kernels.recurrent)(args, part, scratch);
  });
}

void CpuBackend::gather_rows(const float* x, std::span<const int32_t> row_index, size_t dim,
                             float* out) {
  for (size_t i = 0; i < row_index.size(); ++i) {
    std::memcpy(out + i * dim, x + static_cast<size_t>(row_index[i]) * dim, dim * sizeof(float));
  }
}

Result<std::unique_ptr<Backend>> make_cpu_backend(const CpuOptions& options) {
  ASSIGN_OR_RETURN(const CpuImplementation* implementation,
                   choose_cpu_implementation(options.implementation));
  return std::unique_ptr<Backend>(std::make_unique<CpuBackend>(*implementation, options.n_threads));
}

}  // namespace nibble
