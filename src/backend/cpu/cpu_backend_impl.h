// CpuBackend: owns the threads and the working memory, cuts each op into parts and hands them to
// the kernels of the implementation it was made with.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "backend/cpu/implementations.h"
#include "backend/cpu/kernels.h"
#include "backend/cpu/scratch.h"
#include "core/thread_pool.h"

namespace nibble {

class CpuBackend final : public Backend {
 public:
  CpuBackend(const CpuImplementation& implementation, size_t n_threads);

  std::string description() const override;
  bool supports(MatrixKind kind, uint64_t rows, uint64_t cols) const override;

  Result<Buffer> allocate(size_t n_bytes) override;
  void upload(const void* host, size_t n_bytes, void* device) override;
  void download(const void* device, size_t n_bytes, void* host) override;
  void zero(void* device, size_t n_bytes) override;
  void synchronize() override {}

  Result<std::unique_ptr<Matrix>> load_matrix(const MatrixSource& source) override;

  void embed(const Matrix& table, std::span<const int32_t> tokens, float* out) override;
  void rms_norm(ConstRows x, const float* weight, size_t dim, float eps, Rows out) override;
  void matmul(const float* x, size_t n_tokens, std::span<const Projection> outs) override;
  void swiglu(const float* gate, const float* up, size_t n, float* out) override;
  void rope(const RopeArgs& args) override;
  void kv_append(const KvAppendArgs& args) override;
  void attention(const AttentionArgs& args) override;
  void causal_conv_silu(const ConvArgs& args) override;
  void delta_gates(const DeltaGatesArgs& args) override;
  void delta_rule(const DeltaRuleArgs& args) override;
  void gated_rms_norm(const float* x, const float* gate, const float* weight, size_t n_rows,
                      size_t dim, float eps, float* out) override;
  void select_experts(const ExpertSelectionArgs& args) override;
  void dispatch_to_experts(const ExpertDispatchArgs& args) override;
  void expert_matmul(const ExpertMatmulArgs& args) override;
  void combine_experts(const ExpertCombineArgs& args) override;
  void gather_rows(const float* x, std::span<const int32_t> row_index, size_t dim,
                   float* out) override;

 private:
  void matmul_few(const float* x, size_t n_tokens, std::span<const Projection> outs);
  void matmul_many(const float* x, size_t n_tokens, std::span<const Projection> outs);

  void plan_expert_parts(const ExpertMatmulArgs& args);

  /// An expert that has rows, and where its packed tokens begin if they are packed.
  struct ActiveExpert {
    size_t expert;
    Range rows;
    size_t packed_at;
    bool packed;
  };
  /// Rows of one of its weight matrices.
  struct ExpertPart {
    size_t active;
    size_t projection;
    Range weight_rows;
  };

  /// Calls body(item, scratch) for every item below n_items, on all threads, each with its own
  /// scratch of `scratch_floats`.
  template <typename Body>
  void for_each(size_t n_items, size_t scratch_floats, const Body& body);

  /// Calls body(range, scratch) for ranges that cover [0, n), about `grain` long: what is so short
  /// that waking a thread would cost more stays in one piece.
  template <typename Body>
  void for_ranges(size_t n, size_t grain, size_t scratch_floats, const Body& body);

  const CpuImplementation& implementation_;
  const CpuKernels& kernels_;
  ThreadPool pool_;
  std::vector<Scratch> scratch_;  ///< one per thread
  Scratch packed_tokens_;
  // Like scratch, these grow once and are used again.
  std::vector<ActiveExpert> active_experts_;
  std::vector<ExpertPart> expert_parts_;
};

}  // namespace nibble
