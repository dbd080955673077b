// Causal attention on vectors.
//
// Few tokens (attend_row): one query at a time; scores as dot products along the head, four keys
// together, softmax over all of them, then the values summed in registers.
//
// Many tokens (attend_tile): 64 queries of a head against 64 keys at a time, in the online softmax
// form. Scores are computed transposed, [key][query]: the softmax then works on vectors of queries
// without any sum across lanes, and the probabilities already lie as the register tile wants its
// first operand for the product with the values. Keys are transposed once per tile of 64, which
// costs about a tenth of the two products.
//
// Measured as in vector_matmul.h, heads of 256: 512 tokens from the start 100 to 106 GFLOP/s with
// AVX-512 (50 %, half of the last key tile being masked) and 50 with AVX2; after 4096 tokens 110 to
// 137 and 64 to 73 (up to 67 and 71 % of peak). One token after 4096: 14 GFLOP/s, 28 GB/s of cache.
#pragma once

#include "backend/cpu/isa/vector_math.h"
#include "backend/cpu/isa/vector_tile.h"

namespace nibble {

template <class S>
struct VectorAttention {
  using V = typename S::V;
  using L = Lanes<S>;
  using RegisterTile = Tile<S>;
  static constexpr size_t kQueries = 64;
  static constexpr size_t kKeys = 64;
  /// Below so many tokens the tiles would mostly hold padding.
  static constexpr size_t kMinTileTokens = 8;

  static size_t token_tile(const AttentionArgs& args) {
    return args.n_tokens < kMinTileTokens ? 1 : kQueries;
  }

  static size_t scratch_floats(const AttentionArgs& args) {
    if (args.n_tokens < kMinTileTokens) return args.first_position + args.n_tokens;
    return Work(args, nullptr).n_floats;
  }

  static void attend(const AttentionArgs& args, size_t head, Range tokens, float* scratch) {
    if (args.n_tokens < kMinTileTokens) {
      for (size_t t = tokens.begin; t < tokens.end; ++t) attend_row(args, head, t, scratch);
    } else {
      attend_tile(args, head, tokens, Work(args, scratch));
    }
  }

 private:
  // The working memory of a tile.
  struct Work {
    size_t dim;         // padded to whole register tiles
    float* queries;     // [head_dim, kQueries], scaled
    float* keys;        // [head_dim, kKeys]
    float* scores;      // [kKeys, kQueries]
    float* values;      // [kKeys, dim], only where head_dim is not whole tiles
    float* out;         // [kQueries, dim]
    float* max;         // [kQueries]
    float* sum;         // [kQueries]
    float* correction;  // [kQueries]
    size_t n_floats;

    Work(const AttentionArgs& args, float* scratch) {
      constexpr size_t kCols = RegisterTile::kCols;
      dim = (args.head_dim + kCols - 1) / kCols * kCols;
      n_floats = 0;
      const auto take = [&](size_t n) {
        float* place = scratch == nullptr ? nullptr : scratch + n_floats;
        n_floats += n;
        return place;
      };
      queries = take(args.head_dim * kQueries);
      keys = take(args.head_dim * kKeys);
      scores = take(kKeys * kQueries);
      values = take(dim == args.head_dim ? 0 : kKeys * dim);
      out = take(kQueries * dim);
      max = take(kQueries);
      sum = take(kQueries);
      correction = take(kQueries);
    }
  };

  struct Cache {
    const float* keys;
    const float* values;
  };
  static Cache cache_of(const AttentionArgs& args, size_t head) {
    const size_t kv_head = head / (args.n_heads / args.n_kv_heads);
    const size_t first = kv_head * args.cache_capacity * args.head_dim;
    return {args.k_cache + first, args.v_cache + first};
  }

  static void write_out(const AttentionArgs& args, size_t head, size_t t, const float* sums,
                        float sum) {
    const V inverse = S::div(S::set1(1.0f), S::set1(sum));
    float* out = args.out + (t * args.n_heads + head) * args.head_dim;
    const size_t at = t * args.q_token_stride + head * args.q_head_stride;
    for_vectors<S>(args.head_dim, [&](size_t i, auto lanes) {
      V value = S::mul(L::load(sums + i, lanes), inverse);
      if (args.gate != nullptr) {
        value = S::mul(value, VectorMath<S>::sigmoid(L::load(args.gate + at + i, lanes)));
      }
      L::store(out + i, value, lanes);
    });
  }

  static void attend_row(const AttentionArgs& args, size_t head, size_t t, float* scores) {
    const Cache cache = cache_of(args, head);
    const float* q = args.q + t * args.q_token_stride + head * args.q_head_stride;
    const size_t n = args.first_position + t + 1;
    for (size_t j = 0; j < n; ++j) {
      scores[j] = VectorMath<S>::dot(q, cache.keys + j * args.head_dim, args.head_dim) * args.scale;
    }
    const float sum = softmax(scores, n);
    // The sums lie in `out` until write_out scales them there.
    float* out = args.out + (t * args.n_heads + head) * args.head_dim;
    constexpr size_t kStep = 8 * S::kLanes;
    size_t i = 0;
    for (; i + kStep <= args.head_dim; i += kStep) {
      sum_values<8>(scores, n, cache.values + i, args.head_dim, out + i);
    }
    for_vectors<S>(args.head_dim - i, [&](size_t k, auto lanes) {
      V acc = S::zero();
      for (size_t j = 0; j < n; ++j) {
        const V v = L::load(cache.values + j * args.head_dim + i + k, lanes);
        acc = S::fma(S::set1(scores[j]), v, acc);
      }
      L::store(out + i + k, acc, lanes);
    });
    write_out(args, head, t, out, sum);
  }

  // exp(score - largest) in place; returns their sum.
  static float softmax(float* scores, size_t n) {
    V max = S::set1(scores[0]);
    size_t j = 0;
    for (; j + S::kLanes <= n; j += S::kLanes) max = S::max(max, S::load(scores + j));
    float largest = S::largest(max);
    for (; j < n; ++j) largest = scores[j] > largest ? scores[j] : largest;
    V sum = S::zero();
    float rest = 0.0f;
    for (j = 0; j + S::kLanes <= n; j += S::kLanes) {
      const V p = VectorMath<S>::exp(S::sub(S::load(scores + j), S::set1(largest)));
      S::store(scores + j, p);
      sum = S::add(sum, p);
    }
    if (j < n) {
      const V x = S::sub(S::load_first(scores + j, n - j), S::set1(largest));
      S::store_first(scores + j, VectorMath<S>::exp(x), n - j);
      for (; j < n; ++j) rest += scores[j];
    }
    return S::sum(sum) + rest;
  }

  template <size_t kVectors>
  static void sum_values(const float* p, size_t n, const float* values, size_t stride, float* out) {
    V acc[kVectors];
#pragma GCC unroll 8
    for (size_t i = 0; i < kVectors; ++i) acc[i] = S::zero();
    for (size_t j = 0; j < n; ++j, values += stride) {
      const V factor = S::set1(p[j]);
#pragma GCC unroll 8
      for (size_t i = 0; i < kVectors; ++i) {
        acc[i] = S::fma(factor, S::load(values + i * S::kLanes), acc[i]);
      }
    }
#pragma GCC unroll 8
    for (size_t i = 0; i < kVectors; ++i) S::store(out + i * S::kLanes, acc[i]);
  }

  static void attend_tile(const AttentionArgs& args, size_t head, Range tokens, const Work& work) {
    const size_t n_queries = tokens.end - tokens.begin;
    start(args, head, tokens, work);
    const Cache cache = cache_of(args, head);
    const size_t n_visible = args.first_position + tokens.end;
    for (size_t first = 0; first < n_visible; first += kKeys) {
      const size_t n_keys = n_visible - first < kKeys ? n_visible - first : kKeys;
      score(args, cache.keys + first * args.head_dim, n_keys, work);
      hide_future(args.first_position + tokens.begin, first, n_keys, work.scores);
      update_softmax(n_keys, work);
      rescale(n_queries, work);
      Strided values{cache.values + first * args.head_dim, args.head_dim};
      if (work.dim != args.head_dim) values = pad_values(values, n_keys, args.head_dim, work);
      RegisterTile::multiply_all(n_queries, work.dim, n_keys, {work.scores, kQueries}, values,
                                 work.out, work.dim, 1.0f);
    }
    for (size_t i = 0; i < n_queries; ++i) {
      write_out(args, head, tokens.begin + i, work.out + i * work.dim, work.sum[i]);
    }
  }

  static void start(const AttentionArgs& args, size_t head, Range tokens, const Work& work) {
    const size_t n = tokens.end - tokens.begin;
    const float* q = args.q + tokens.begin * args.q_token_stride + head * args.q_head_stride;
    RegisterTile::transpose_floats(n, args.head_dim, kQueries, {q, args.q_token_stride},
                                   work.queries, kQueries);
    for (size_t i = 0; i < args.head_dim * kQueries; ++i) work.queries[i] *= args.scale;
    for (size_t i = 0; i < n * work.dim; ++i) work.out[i] = 0.0f;
    for (size_t i = 0; i < kQueries; ++i) {
      work.max[i] = -__builtin_inff();
      work.sum[i] = 0.0f;
    }
  }

  static void score(const AttentionArgs& args, const float* keys, size_t n_keys, const Work& work) {
    const size_t padded = (n_keys + S::kLanes - 1) / S::kLanes * S::kLanes;
    RegisterTile::transpose_floats(n_keys, args.head_dim, padded, {keys, args.head_dim}, work.keys,
                                   kKeys);
    RegisterTile::multiply_all(n_keys, kQueries, args.head_dim, {work.keys, kKeys},
                               {work.queries, kQueries}, work.scores, kQueries, 0.0f);
  }

  // Query i stands at position `query` + i and sees keys up to itself.
  static void hide_future(size_t query, size_t first_key, size_t n_keys, float* scores) {
    for (size_t j = 0; j < n_keys; ++j) {
      for (size_t i = 0; i < kQueries && query + i < first_key + j; ++i) {
        scores[j * kQueries + i] = -__builtin_inff();
      }
    }
  }

  // Scores become probabilities relative to the largest score so far; key 0 is seen by every
  // query, so that largest is finite from the first tile on.
  static void update_softmax(size_t n_keys, const Work& work) {
    for (size_t i = 0; i < kQueries; i += S::kLanes) {
      float* column = work.scores + i;
      const V old = S::load(work.max + i);
      V max = old;
      for (size_t j = 0; j < n_keys; ++j) max = S::max(max, S::load(column + j * kQueries));
      V sum = S::zero();
      for (size_t j = 0; j < n_keys; ++j) {
        const V p = VectorMath<S>::exp(S::sub(S::load(column + j * kQueries), max));
        S::store(column + j * kQueries, p);
        sum = S::add(sum, p);
      }
      const V correction = VectorMath<S>::exp(S::sub(old, max));
      S::store(work.max + i, max);
      S::store(work.correction + i, correction);
      S::store(work.sum + i, S::fma(S::load(work.sum + i), correction, sum));
    }
  }

  static void rescale(size_t n_queries, const Work& work) {
    for (size_t i = 0; i < n_queries; ++i) {
      if (work.correction[i] == 1.0f) continue;
      const V factor = S::set1(work.correction[i]);
      float* row = work.out + i * work.dim;
      for (size_t d = 0; d < work.dim; d += S::kLanes) {
        S::store(row + d, S::mul(S::load(row + d), factor));
      }
    }
  }

  static Strided pad_values(Strided values, size_t n_keys, size_t head_dim, const Work& work) {
    for (size_t j = 0; j < n_keys; ++j) {
      float* row = work.values + j * work.dim;
      for (size_t d = 0; d < work.dim; ++d) {
        row[d] = d < head_dim ? values.data[j * values.stride + d] : 0.0f;
      }
    }
    return {work.values, work.dim};
  }
};

}  // namespace nibble
