// What a device can do for a forward pass: memory, weight matrices, and the op contracts.
//
// Activations are F32, row-major, in device memory: pointers below are device pointers of the
// backend that made them (host pointers on a CPU). Ops cannot fail: everything that could was asked
// or allocated before. Ops are ordered; synchronize() waits for all of them. A backend is used by
// one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "backend/expert_ops.h"
#include "core/result.h"
#include "tensor/matrix_source.h"
#include "tensor/tensor.h"

namespace nibble {

/// Device memory, owned. Move-only; freed by the backend that made it, which must outlive it.
class Buffer {
 public:
  using Release = void (*)(void* data, void* backend);
  Buffer() = default;
  Buffer(void* data, size_t n_bytes, Release release, void* backend)
      : data_(data), n_bytes_(n_bytes), release_(release), backend_(backend) {}
  Buffer(Buffer&& other) noexcept { *this = std::move(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(n_bytes_, other.n_bytes_);
    std::swap(release_, other.release_);
    std::swap(backend_, other.backend_);
    return *this;
  }
  ~Buffer() {
    if (data_ != nullptr) release_(data_, backend_);
  }
  float* f32() const { return static_cast<float*>(data_); }
  void* data() const { return data_; }
  size_t n_bytes() const { return n_bytes_; }

 private:
  void* data_ = nullptr;
  size_t n_bytes_ = 0;
  Release release_ = nullptr;
  void* backend_ = nullptr;
};

/// A weight matrix as the backend wants it (borrowed from the source, copied or repacked).
class Matrix {
 public:
  virtual ~Matrix() = default;
  uint64_t rows() const { return rows_; }
  uint64_t cols() const { return cols_; }
  /// Bytes read when the whole matrix takes part in one product.
  uint64_t n_bytes() const { return n_bytes_; }

 protected:
  Matrix(uint64_t rows, uint64_t cols, uint64_t n_bytes)
      : rows_(rows), cols_(cols), n_bytes_(n_bytes) {}

 private:
  uint64_t rows_;
  uint64_t cols_;
  uint64_t n_bytes_;
};

/// Rows of floats at a fixed distance: row r begins at data + r * stride.
struct Rows {
  float* data;
  size_t n_rows;
  size_t stride;
};
struct ConstRows {
  const float* data;
  size_t n_rows;
  size_t stride;
  ConstRows(const float* d, size_t n, size_t s) : data(d), n_rows(n), stride(s) {}
  ConstRows(const Rows& rows)  // NOLINT: implicit, as from T* to const T*
      : data(rows.data), n_rows(rows.n_rows), stride(rows.stride) {}
};

/// One product of matmul: out[t, r] = sum_c weight[r, c] * x[t, c], or += with `accumulate`.
struct Projection {
  const Matrix* weight;
  float* out;  ///< [n_tokens, weight->rows()]
  bool accumulate = false;
};

/// Rotary embedding of the first `rotary_dim` values of every head, half-split pairing (i with
/// i + rotary_dim / 2), in place.
struct RopeArgs {
  float* x;  ///< token t, head h at x + t * token_stride + h * head_stride
  size_t n_tokens;
  size_t n_heads;
  size_t token_stride;
  size_t head_stride;
  size_t rotary_dim;
  const float* inv_freq;  ///< [rotary_dim / 2], device
  size_t first_position;  ///< token t stands at first_position + t
};

/// Causal softmax(q k^T * scale) v with grouped heads: query head j reads kv head j / (n_heads /
/// n_kv_heads). The cache already holds the new tokens' rows.
struct AttentionArgs {
  const float* q;  ///< token t, head h at q + t * q_token_stride + h * q_head_stride
  size_t q_token_stride;
  size_t q_head_stride;
  const float* k_cache;  ///< [n_kv_heads, cache_capacity, head_dim]
  const float* v_cache;
  size_t cache_capacity;
  size_t first_position;  ///< of the first query token; it sees first_position + 1 rows
  size_t n_tokens;
  size_t n_heads;
  size_t n_kv_heads;
  size_t head_dim;
  float scale;
  const float* gate;  ///< same strides as q; out *= sigmoid(gate); nullptr for none
  float* out;         ///< [n_tokens, n_heads * head_dim]
};

/// Copies new k and v rows [n_tokens, n_kv_heads * head_dim] into a cache at first_position.
struct KvAppendArgs {
  const float* k;
  const float* v;
  size_t n_tokens;
  size_t n_kv_heads;
  size_t head_dim;
  size_t first_position;
  size_t cache_capacity;
  float* k_cache;
  float* v_cache;
};

/// Causal depthwise convolution and SiLU:
/// out[t, ch] = silu(sum_m weight[ch, m] * x[t - kernel + 1 + m, ch]), older inputs from the state.
struct ConvArgs {
  const float* x;       ///< [n_tokens, n_channels]
  const float* weight;  ///< [n_channels, kernel]
  float* state;         ///< [kernel - 1, n_channels], oldest first; updated
  size_t n_tokens;
  size_t n_channels;
  size_t kernel;
  float* out;  ///< [n_tokens, n_channels]; must not overlap x
};

/// decay[t, h] = -exp(a_log[h]) * softplus(a[t, h] + dt_bias[h]) (a logarithm, <= 0),
/// beta[t, h] = sigmoid(b[t, h]).
struct DeltaGatesArgs {
  const float* a;  ///< [n_tokens, n_heads]
  const float* b;
  const float* a_log;  ///< [n_heads]
  const float* dt_bias;
  size_t n_tokens;
  size_t n_heads;
  float* decay;  ///< [n_tokens, n_heads]
  float* beta;
};

/// The gated delta rule, token after token, per value head with the key head that it shares with
/// others. q and k are L2-normalized here (eps inside the root), q scaled by key_dim^-1/2:
///   S = exp(decay) S;  d = beta (v - S^T k);  S += k d^T;  out = S^T q
struct DeltaRuleArgs {
  const float* q;  ///< token t, key head at q + t * token_stride + head * key_dim
  const float* k;
  const float* v;  ///< token t, value head at v + t * token_stride + head * value_dim
  size_t token_stride;
  const float* decay;  ///< [n_tokens, n_value_heads]
  const float* beta;
  size_t n_tokens;
  size_t n_key_heads;
  size_t n_value_heads;
  /// Value head h reads key head h mod n_key_heads; otherwise h / (n_value_heads / n_key_heads).
  bool tiles_value_heads;
  size_t key_dim;
  size_t value_dim;
  float l2_eps;
  float* state;  ///< [n_value_heads, key_dim, value_dim]; updated
  float* out;    ///< [n_tokens, n_value_heads * value_dim]
};

/// How a weight matrix's elements are stored.
enum class MatrixKind : uint8_t {
  kF32,
  kBF16,
  kF16,
  kNvfp4,  ///< canonical; GGUF's blocks of it are of this kind too and repacked when loaded
  kFp8,
  kQ4_0,
  kQ8_0,
  kQ4K,
  kQ5K,
  kQ6K,
};

/// The kind of a source, or kUnsupported for element types that no product takes.
Result<MatrixKind> matrix_kind(const MatrixSource& source);

/// Values that share a block, of which a row must be a multiple; 1 for kinds without blocks.
uint64_t matrix_block_values(MatrixKind kind);

/// The op set. It knows shapes and arithmetic, not which model they belong to.
class Backend {
 public:
  virtual ~Backend() = default;

  /// "cpu (avx512, 2 threads)", for logs and reports.
  virtual std::string description() const = 0;

  /// Whether load_matrix will take such a matrix. Asked before any byte is read.
  virtual bool supports(MatrixKind kind, uint64_t rows, uint64_t cols) const = 0;

  /// Zeroed device memory, aligned to 64. Errors: kOutOfMemory.
  virtual Result<Buffer> allocate(size_t n_bytes) = 0;
  virtual void upload(const void* host, size_t n_bytes, void* device) = 0;
  virtual void download(const void* device, size_t n_bytes, void* host) = 0;
  virtual void zero(void* device, size_t n_bytes) = 0;
  virtual void synchronize() = 0;

  /// Takes a weight matrix. A CPU may keep borrowing `source`, which must outlive the matrix.
  /// Errors: kUnsupported, kOutOfMemory.
  virtual Result<std::unique_ptr<Matrix>> load_matrix(const MatrixSource& source) = 0;

  /// out[t] = row tokens[t] of table.  tokens: host memory, each < table.rows();
  /// out [tokens.size(), table.cols()]
  virtual void embed(const Matrix& table, std::span<const int32_t> tokens, float* out) = 0;

  /// out = x * rsqrt(mean(x^2) + eps) * weight, per row of `dim` values. weight [dim]. x may be
  /// out.
  virtual void rms_norm(ConstRows x, const float* weight, size_t dim, float eps, Rows out) = 0;

  /// Several products of the same input x [n_tokens, cols].
  virtual void matmul(const float* x, size_t n_tokens, std::span<const Projection> outs) = 0;

  /// out[i] = silu(gate[i]) * up[i], n values. out may be gate or up.
  virtual void swiglu(const float* gate, const float* up, size_t n, float* out) = 0;

  virtual void rope(const RopeArgs& args) = 0;
  virtual void kv_append(const KvAppendArgs& args) = 0;
  virtual void attention(const AttentionArgs& args) = 0;
  virtual void causal_conv_silu(const ConvArgs& args) = 0;
  virtual void delta_gates(const DeltaGatesArgs& args) = 0;
  virtual void delta_rule(const DeltaRuleArgs& args) = 0;

  /// out = x * rsqrt(mean(x^2) + eps) * weight * silu(gate), per row of `dim` values; rows are
  /// contiguous. weight [dim]. x may be out.
  virtual void gated_rms_norm(const float* x, const float* gate, const float* weight, size_t n_rows,
                              size_t dim, float eps, float* out) = 0;

  /// The ops of a layer of experts, in the order of their use; see expert_ops.h.
  virtual void select_experts(const ExpertSelectionArgs& args) = 0;
  virtual void dispatch_to_experts(const ExpertDispatchArgs& args) = 0;
  virtual void expert_matmul(const ExpertMatmulArgs& args) = 0;
  virtual void combine_experts(const ExpertCombineArgs& args) = 0;

  /// out[i] = x[row_index[i]], rows of `dim` values. row_index: host memory.
  virtual void gather_rows(const float* x, std::span<const int32_t> row_index, size_t dim,
                           float* out) = 0;
};

}  // namespace nibble
