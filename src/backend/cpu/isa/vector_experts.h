// Adding up what the experts give, on vectors: each token's rows are read once, side by side.
#pragma once

#include "backend/cpu/isa/vector_math.h"
#include "backend/cpu/kernels.h"

namespace nibble {

template <class S>
struct VectorExperts {
  using V = typename S::V;
  using L = Lanes<S>;

  static void combine(const ExpertCombineArgs& args, Range tokens) {
    for (size_t t = tokens.begin; t < tokens.end; ++t) {
      const V gate = VectorMath<S>::sigmoid(S::set1(args.shared_gate[t]));
      const int32_t* rows = args.row + t * args.n_selected;
      const float* weights = args.weights + t * args.n_selected;
      const float* shared = args.shared + t * args.dim;
      float* out = args.out + t * args.dim;
      for_vectors<S>(args.dim, [&](size_t i, auto lanes) {
        V sum = S::zero();
        for (size_t s = 0; s < args.n_selected; ++s) {
          const float* y = args.y + static_cast<size_t>(rows[s]) * args.dim + i;
          sum = S::fma(S::set1(weights[s]), L::load(y, lanes), sum);
        }
        sum = S::fma(gate, L::load(shared + i, lanes), sum);
        L::store(out + i, S::add(L::load(out + i, lanes), sum), lanes);
      });
    }
  }
};

}  // namespace nibble
