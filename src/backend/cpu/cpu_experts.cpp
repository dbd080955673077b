// CpuBackend's ops for layers of experts. An expert's rows are a small product of their own, so all
// experts are cut into parts first and the threads take parts of any expert.
#include <algorithm>
#include <cstring>

#include "backend/cpu/cpu_backend_impl.h"
#include "backend/cpu/cpu_matrix.h"
#include "backend/cpu/parallel.h"

namespace nibble {
namespace {

// As for other products: some 5 to 20 us of multiplications.
constexpr size_t kProductsPerPart = 65536;
constexpr size_t kValuesPerPart = 16384;

size_t tokens_per_part(size_t values_per_token) {
  return std::max<size_t>(1, kValuesPerPart / std::max<size_t>(1, values_per_token));
}

size_t round_up(size_t n, size_t unit) { return (n + unit - 1) / unit * unit; }

const WeightView& view_of(const ExpertProjection& projection, size_t expert) {
  return static_cast<const CpuMatrix*>(projection.weights[expert].get())->view();
}

}  // namespace

void CpuBackend::select_experts(const ExpertSelectionArgs& args) {
  for_ranges(args.n_tokens, tokens_per_part(args.n_experts), 0,
             [&](Range tokens, float*) { kernels_.select_experts(args, tokens); });
}

void CpuBackend::dispatch_to_experts(const ExpertDispatchArgs& args) {
  // Count, then sum up, so that first_row[e + 1] is where the rows of e begin; placing a token
  // moves that on, and in the end it is where they end.
  const size_t n_rows = args.n_tokens * args.n_selected;
  std::fill_n(args.first_row, args.n_experts + 1, 0);
  for (size_t i = 0; i < n_rows; ++i) {
    const auto expert = static_cast<size_t>(args.experts[i]);
    if (expert + 2 <= args.n_experts) ++args.first_row[expert + 2];
  }
  for (size_t e = 2; e <= args.n_experts; ++e) args.first_row[e] += args.first_row[e - 1];
  for (size_t i = 0; i < n_rows; ++i) {
    args.row[i] = args.first_row[static_cast<size_t>(args.experts[i]) + 1]++;
  }
  for_ranges(
      args.n_tokens, tokens_per_part(args.n_selected * args.dim), 0, [&](Range tokens, float*) {
        for (size_t i = tokens.begin * args.n_selected; i < tokens.end * args.n_selected; ++i) {
          std::memcpy(args.rows + static_cast<size_t>(args.row[i]) * args.dim,
                      args.x + i / args.n_selected * args.dim, args.dim * sizeof(float));
        }
      });
}

// The plan of one expert_matmul: which experts have rows, where their packed tokens lie, and the
// parts of all their products.
void CpuBackend::plan_expert_parts(const ExpertMatmulArgs& args) {
  const MatmulKernels& kernels = kernels_.matmul;
  const size_t n_experts = args.outs.front().weights.size();
  const size_t cols = args.outs.front().weights.front()->cols();
  active_experts_.clear();
  expert_parts_.clear();
  size_t n_packed_tokens = 0;
  for (size_t e = 0; e < n_experts; ++e) {
    const Range rows{static_cast<size_t>(args.first_row[e]),
                     static_cast<size_t>(args.first_row[e + 1])};
    const size_t n = rows.end - rows.begin;
    if (n == 0) continue;
    const bool packed = n > kernels.max_gemv_tokens;
    active_experts_.push_back({e, rows, n_packed_tokens * cols, packed});
    if (packed) n_packed_tokens += round_up(n, kernels.token_tile);
  }
  packed_tokens_.floats(n_packed_tokens * cols);

  size_t n_weight_rows = 0;
  for (const ExpertProjection& out : args.outs) n_weight_rows += out.weights.front()->rows();
  const size_t share = n_weight_rows * active_experts_.size() / (4 * pool_.n_threads());
  for (size_t a = 0; a < active_experts_.size(); ++a) {
    const ActiveExpert& active = active_experts_[a];
    const size_t n = active.rows.end - active.rows.begin;
    const size_t step =
        active.packed
            ? std::clamp(share / kernels.row_tile * kernels.row_tile, kernels.row_tile,
                         kernels.max_gemm_rows)
            : std::max<size_t>(8, kProductsPerPart / std::max<size_t>(1, n * cols) / 8 * 8);
    for (size_t p = 0; p < args.outs.size(); ++p) {
      const size_t n_rows = args.outs[p].weights.front()->rows();
      for (size_t begin = 0; begin < n_rows; begin += step) {
        expert_parts_.push_back({a, p, {begin, std::min(n_rows, begin + step)}});
      }
    }
  }
}

void CpuBackend::expert_matmul(const ExpertMatmulArgs& args) {
  if (args.n_rows == 0 || args.outs.empty() || args.outs.front().weights.empty()) return;
  const MatmulKernels& kernels = kernels_.matmul;
  plan_expert_parts(args);
  const size_t cols = args.outs.front().weights.front()->cols();
  float* const packed_tokens = packed_tokens_.floats(0);
  for_each(active_experts_.size(), 0, [&](size_t index, float*) {
    const ActiveExpert& active = active_experts_[index];
    if (!active.packed) return;
    const size_t n = active.rows.end - active.rows.begin;
    const size_t n_tiles = round_up(n, kernels.token_tile) / kernels.token_tile;
    kernels.pack_tokens(args.x + active.rows.begin * cols, n, cols, {0, n_tiles},
                        packed_tokens + active.packed_at);
  });
  const size_t scratch_floats = std::max(cols, kernels.gemm_scratch_floats);
  for_each(expert_parts_.size(), scratch_floats, [&](size_t index, float* scratch) {
    const ExpertPart& part = expert_parts_[index];
    const ActiveExpert& active = active_experts_[part.active];
    const ExpertProjection& projection = args.outs[part.projection];
    const WeightView& weight = view_of(projection, active.expert);
    const size_t n = active.rows.end - active.rows.begin;
    const ProductOut out{projection.out + active.rows.begin * weight.rows, weight.rows, false};
    if (active.packed) {
      kernels.gemm(weight, part.weight_rows, packed_tokens + active.packed_at, n, out, scratch);
    } else {
      kernels.gemv(weight, part.weight_rows, args.x + active.rows.begin * cols, n, out, scratch);
    }
  });
}

void CpuBackend::combine_experts(const ExpertCombineArgs& args) {
  for_ranges(args.n_tokens, tokens_per_part((args.n_selected + 1) * args.dim), 0,
             [&](Range tokens, float*) { kernels_.combine_experts(args, tokens); });
}

}  // namespace nibble
