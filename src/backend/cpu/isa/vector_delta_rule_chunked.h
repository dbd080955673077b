// The gated delta rule, kChunk tokens at a time as products of small matrices. With G_i the sum of
// the decay logarithms up to token i of the chunk and S the state before it, the recurrence's
// corrections d solve a triangular system:
//   d_i = beta_i (v_i - e^(G_i) S^T k_i - sum_{j<i} e^(G_i - G_j) (k_i . k_j) d_j)
//   out_i = e^(G_i) S^T q_i + sum_{j<=i} e^(G_i - G_j) (q_i . k_j) d_j
//   S' = e^(G_last) S + sum_j e^(G_last - G_j) k_j d_j^T
// All exponents that are used are <= 0; those above the diagonal could overflow, so they are cut to
// 0 before exp and their products cleared. Tokens beyond the last whole chunk go through the
// recurrence.
//
// With C tokens a chunk one token costs (3 + 2 C / value_dim + C / key_dim) key_dim value_dim
// multiply-adds, with the recurrence 4 and three times the loads: on a processor the best chunk is
// short. Measured as in vector_matmul.h for one head of 128 x 128, 512 tokens, in thousand tokens
// per second: AVX-512 recurrent 770 to 880, chunks of 32 760 to 980 (chunks of 64: 640 to 700);
// AVX2 recurrent 450 to 530, chunks of 32 480 to 630. From 64 tokens on the chunks are not slower.
#pragma once

#include "backend/cpu/isa/vector_delta_rule.h"
#include "backend/cpu/isa/vector_tile.h"

namespace nibble {

template <class S>
struct ChunkedDeltaRule {
  using V = typename S::V;
  using L = Lanes<S>;
  using RegisterTile = Tile<S>;
  using Steps = VectorDeltaRule<S>;
  using Head = typename Steps::Head;
  static constexpr size_t kChunk = 32;
  static constexpr size_t kPair = 2 * kChunk;  ///< keys and queries side by side

  static size_t scratch_floats(const DeltaRuleArgs& args) {
    const size_t chunk = Work(args, nullptr).n_floats;
    const size_t steps = Steps::scratch_floats(args);
    return chunk > steps ? chunk : steps;
  }

  static void run(const DeltaRuleArgs& args, const DeltaPart& part, float* scratch) {
    const size_t n_chunked = args.n_tokens / kChunk * kChunk;
    if (n_chunked != 0) {
      const Head head(args, part.head);
      const Work work(args, scratch);
      load_state(args, head, part.columns, work);
      for (size_t t = 0; t < n_chunked; t += kChunk) run_chunk(args, head, part.columns, t, work);
      store_state(args, head, part.columns, work);
    }
    Steps::step_tokens(args, part, {n_chunked, args.n_tokens}, scratch);
  }

 private:
  struct Work {
    size_t cols;     // value_dim in whole register tiles, and a line more
    float* state;    // [key_dim, cols]
    float* k;        // [kPair, key_dim]: keys, then queries
    float* columns;  // [key_dim, kPair]: the same, transposed
    // [kChunk j, kPair]: k_j . k_i, then k_j . q_i; weighed, the negated entries of the system and
    // the weights of the outputs
    float* pairs;
    float* delta;  // [kPair, cols]: S^T k_i, then S^T q_i; later d_i, then the outputs
    float* out;    // the second half of delta
    size_t n_floats;

    Work(const DeltaRuleArgs& args, float* scratch) {
      constexpr size_t kCols = RegisterTile::kCols;
      // One cache line more: rows of a power of two would share a few cache sets.
      cols = (args.value_dim + kCols - 1) / kCols * kCols + 16;
      n_floats = 0;
      const auto take = [&](size_t n) {
        float* place = scratch == nullptr ? nullptr : scratch + n_floats;
        n_floats += (n + 15) / 16 * 16;
        return place;
      };
      state = take(args.key_dim * cols);
      k = take(kPair * args.key_dim);
      columns = take(args.key_dim * kPair);
      pairs = take(kChunk * kPair);
      delta = take(kPair * cols);
      out = scratch == nullptr ? nullptr : delta + kChunk * cols;
    }
  };

  // The gates of a chunk. The sums may be large and their differences small: two floats each keep
  // them exact, where one would lose 2e-4 of a weight after a sum of 3000.
  struct Gates {
    alignas(64) float sum[kChunk];         // G_i, rounded
    alignas(64) float rest[kChunk];        // what that lost
    alignas(64) float from_start[kChunk];  // e^(G_i)
    alignas(64) float to_end[kChunk];      // e^(G_last - G_i)
    alignas(64) float beta[kChunk];
  };

  static size_t padded(Range columns) {
    constexpr size_t kCols = RegisterTile::kCols;
    return (columns.end - columns.begin + kCols - 1) / kCols * kCols;
  }

  static void load_state(const DeltaRuleArgs& args, const Head& head, Range columns,
                         const Work& work) {
    for (size_t i = 0; i < args.key_dim * work.cols; ++i) work.state[i] = 0.0f;
    Steps::copy_slice(head.state + columns.begin, args.value_dim, args.key_dim,
                      columns.end - columns.begin, work.state, work.cols);
  }

  static void store_state(const DeltaRuleArgs& args, const Head& head, Range columns,
                          const Work& work) {
    Steps::copy_slice(work.state, work.cols, args.key_dim, columns.end - columns.begin,
                      head.state + columns.begin, args.value_dim);
  }

  static void run_chunk(const DeltaRuleArgs& args, const Head& head, Range columns, size_t first,
                        const Work& work) {
    const size_t n = padded(columns);
    Gates gates;
    load_chunk(args, head, first, work, gates);
    const Strided both{work.columns, kPair};
    RegisterTile::multiply_all(kChunk, kPair, args.key_dim, both, both, work.pairs, kPair, 0.0f);
    weigh_pairs(gates, work);
    RegisterTile::multiply_all(kPair, n, args.key_dim, both, {work.state, work.cols}, work.delta,
                               work.cols, 0.0f);
    start_chunk(args, head, columns, first, gates, work);
    solve(n, work);
    for (size_t i = 0; i < kChunk; i += RegisterTile::kRows) {
      // Later tokens than the tile's last one have no weight.
      const size_t rows = kChunk - i < RegisterTile::kRows ? kChunk - i : RegisterTile::kRows;
      RegisterTile::multiply_all(rows, n, i + rows, {work.pairs + kChunk + i, kPair},
                                 {work.delta, work.cols}, work.out + i * work.cols, work.cols,
                                 1.0f);
    }
    const size_t width = columns.end - columns.begin;
    Steps::copy_slice(work.out, work.cols, kChunk, width,
                      head.out + first * head.out_stride + columns.begin, head.out_stride);
    advance_state(args, n, gates, work);
  }

  static void load_chunk(const DeltaRuleArgs& args, const Head& head, size_t first,
                         const Work& work, Gates& gates) {
    const size_t dim = args.key_dim;
    double sum = 0.0;
    for (size_t i = 0; i < kChunk; ++i) {
      const size_t t = first + i;
      Steps::normalize(head.q + t * args.token_stride, dim, args.l2_eps, head.q_scale,
                       work.k + (kChunk + i) * dim);
      Steps::normalize(head.k + t * args.token_stride, dim, args.l2_eps, 1.0f, work.k + i * dim);
      sum += static_cast<double>(head.decay[t * head.gate_stride]);
      gates.sum[i] = static_cast<float>(sum);
      gates.rest[i] = static_cast<float>(sum - static_cast<double>(gates.sum[i]));
      gates.beta[i] = head.beta[t * head.gate_stride];
    }
    RegisterTile::transpose_floats(kPair, dim, kPair, {work.k, dim}, work.columns, kPair);
    const V last = S::set1(gates.sum[kChunk - 1]);
    const V last_rest = S::set1(gates.rest[kChunk - 1]);
    for (size_t i = 0; i < kChunk; i += S::kLanes) {
      const V start = S::load(gates.sum + i);
      const V end = S::add(S::sub(last, start), S::sub(last_rest, S::load(gates.rest + i)));
      S::store(gates.from_start + i, VectorMath<S>::exp(start));
      S::store(gates.to_end + i, VectorMath<S>::exp(end));
    }
  }

  // pairs[j, i] = -beta_i e^(G_i - G_j) k_j . k_i for j < i, else 0; pairs[j, kChunk + i] =
  // e^(G_i - G_j) k_j . q_i for j <= i, else 0.
  static void weigh_pairs(const Gates& gates, const Work& work) {
    for (size_t j = 0; j < kChunk; ++j) {
      float* keys = work.pairs + j * kPair;
      float* queries = keys + kChunk;
      const V sum_j = S::set1(gates.sum[j]);
      const V rest_j = S::set1(gates.rest[j]);
      for (size_t i = 0; i < kChunk; i += S::kLanes) {
        const V difference =
            S::add(S::sub(S::load(gates.sum + i), sum_j), S::sub(S::load(gates.rest + i), rest_j));
        const V weight = VectorMath<S>::exp(S::clamp(difference, -150.0f, 0.0f));
        const V beta = S::sub(S::zero(), S::load(gates.beta + i));
        S::store(keys + i, S::mul(S::mul(weight, beta), S::load(keys + i)));
        S::store(queries + i, S::mul(weight, S::load(queries + i)));
      }
      for (size_t i = 0; i < j; ++i) keys[i] = queries[i] = 0.0f;
      keys[j] = 0.0f;
    }
  }

  // delta_i = beta_i (v_i - e^(G_i) S^T k_i), out_i = e^(G_i) S^T q_i.
  static void start_chunk(const DeltaRuleArgs& args, const Head& head, Range columns, size_t first,
                          const Gates& gates, const Work& work) {
    const size_t width = columns.end - columns.begin;
    for (size_t i = 0; i < kChunk; ++i) {
      const V decay = S::set1(gates.from_start[i]);
      const V beta = S::set1(gates.beta[i]);
      const float* v = head.v + (first + i) * args.token_stride + columns.begin;
      float* delta = work.delta + i * work.cols;
      float* out = work.out + i * work.cols;
      for_vectors<S>(width, [&](size_t c, auto lanes) {
        const V rest = S::sub(L::load(v + c, lanes), S::mul(decay, S::load(delta + c)));
        S::store(delta + c, S::mul(beta, rest));
        S::store(out + c, S::mul(decay, S::load(out + c)));
      });
    }
  }

  // Forward substitution by blocks of a register tile's rows: first the earlier blocks' part as a
  // product, then row by row inside the block.
  static void solve(size_t n, const Work& work) {
    for (size_t i = 0; i < kChunk; i += RegisterTile::kRows) {
      const size_t rows = kChunk - i < RegisterTile::kRows ? kChunk - i : RegisterTile::kRows;
      if (i != 0) {
        RegisterTile::multiply_all(rows, n, i, {work.pairs + i, kPair}, {work.delta, work.cols},
                                   work.delta + i * work.cols, work.cols, 1.0f);
      }
      for (size_t c = 0; c < n; c += RegisterTile::kCols) solve_block({i, i + rows}, c, work);
    }
  }

  static void solve_block(Range rows, size_t column, const Work& work) {
    for (size_t r = rows.begin + 1; r < rows.end; ++r) {
      float* row = work.delta + r * work.cols + column;
      V low = S::load(row);
      V high = S::load(row + S::kLanes);
      for (size_t j = rows.begin; j < r; ++j) {
        const float* earlier = work.delta + j * work.cols + column;
        const V factor = S::set1(work.pairs[j * kPair + r]);
        low = S::fma(factor, S::load(earlier), low);
        high = S::fma(factor, S::load(earlier + S::kLanes), high);
      }
      S::store(row, low);
      S::store(row + S::kLanes, high);
    }
  }

  static void advance_state(const DeltaRuleArgs& args, size_t n, const Gates& gates,
                            const Work& work) {
    for (size_t i = 0; i < kChunk; ++i) {
      const V weight = S::set1(gates.to_end[i]);
      float* delta = work.delta + i * work.cols;
      for (size_t c = 0; c < n; c += S::kLanes)
        S::store(delta + c, S::mul(weight, S::load(delta + c)));
    }
    RegisterTile::multiply_all(args.key_dim, n, kChunk, {work.k, args.key_dim},
                               {work.delta, work.cols}, work.state, work.cols,
                               gates.from_start[kChunk - 1]);
  }
};

}  // namespace nibble
