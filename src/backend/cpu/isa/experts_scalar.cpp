// Reference forms of choosing experts and of adding up what they give. Choosing looks at a few
// hundred values per token: every implementation uses this form.
#include <cmath>

#include "backend/cpu/isa/scalar.h"

namespace nibble::scalar {

void select_experts(const ExpertSelectionArgs& args, Range tokens) {
  const size_t k = args.n_selected;
  for (size_t t = tokens.begin; t < tokens.end; ++t) {
    const float* logits = args.logits + t * args.n_experts;
    float* best = args.weights + t * k;  // the chosen logits, largest first
    int32_t* experts = args.experts + t * k;
    for (size_t e = 0; e < args.n_experts; ++e) {
      // A NaN is never larger: it is chosen only while places are free, and shows in the weights.
      if (e >= k && !(logits[e] > best[k - 1])) continue;
      size_t place = e < k ? e : k - 1;
      for (; place > 0 && logits[e] > best[place - 1]; --place) {
        best[place] = best[place - 1];
        experts[place] = experts[place - 1];
      }
      best[place] = logits[e];
      experts[place] = static_cast<int32_t>(e);
    }
    const float largest = best[0];
    float sum = 0.0f;
    for (size_t s = 0; s < k; ++s) {
      best[s] = std::exp(best[s] - largest);
      sum += best[s];
    }
    for (size_t s = 0; s < k; ++s) best[s] /= sum;
  }
}

void combine_experts(const ExpertCombineArgs& args, Range tokens) {
  for (size_t t = tokens.begin; t < tokens.end; ++t) {
    const double gate = 1.0 / (1.0 + std::exp(-static_cast<double>(args.shared_gate[t])));
    for (size_t i = 0; i < args.dim; ++i) {
      double sum = 0.0;
      for (size_t s = 0; s < args.n_selected; ++s) {
        const auto row = static_cast<size_t>(args.row[t * args.n_selected + s]);
        sum += static_cast<double>(args.weights[t * args.n_selected + s]) *
               static_cast<double>(args.y[row * args.dim + i]);
      }
      sum += gate * static_cast<double>(args.shared[t * args.dim + i]);
      float& out = args.out[t * args.dim + i];
      out = static_cast<float>(static_cast<double>(out) + sum);
    }
  }
}

}  // namespace nibble::scalar
