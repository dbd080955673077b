// Arguments of the ops of a layer of experts: tokens choose experts, go to them, come back
// weighted.
//
// Group order: one row for each pair of a token and an expert that it chose, those of expert 0
// first, in the order of their tokens, then those of expert 1, and so on. There are n_tokens *
// n_selected such rows. All pointers are device memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace nibble {

class Matrix;

/// Each token's n_selected largest logits, largest first, the lower expert where two are equal.
/// weights = softmax of a token's selected logits, which is the softmax over all experts scaled so
/// that the selected sum to 1.
struct ExpertSelectionArgs {
  const float* logits;  ///< [n_tokens, n_experts]
  size_t n_tokens;
  size_t n_experts;
  size_t n_selected;  ///< 1 to n_experts
  int32_t* experts;   ///< [n_tokens, n_selected]
  float* weights;     ///< [n_tokens, n_selected]
};

/// Copies tokens into group order and says where they are.
struct ExpertDispatchArgs {
  const float* x;          ///< [n_tokens, dim]
  const int32_t* experts;  ///< [n_tokens, n_selected], each below n_experts, none twice in a token
  size_t n_tokens;
  size_t n_experts;
  size_t n_selected;
  size_t dim;
  int32_t* first_row;  ///< [n_experts + 1]: expert e has the rows first_row[e] to first_row[e + 1]
  int32_t* row;        ///< [n_tokens, n_selected]: where that token stands for that expert
  float* rows;         ///< [n_tokens * n_selected, dim]
};

/// One product of expert_matmul: out[i, r] = sum_c weights[e][r, c] * x[i, c] for the rows i of e.
struct ExpertProjection {
  std::span<const std::unique_ptr<Matrix>> weights;  ///< [n_experts], all of one shape
  float* out;                                        ///< [n_rows, weights[e]->rows()]
};

/// Several products of the same rows, each with the weights of the row's expert.
struct ExpertMatmulArgs {
  const float* x;            ///< [n_rows, cols], in group order
  const int32_t* first_row;  ///< [n_experts + 1], of dispatch_to_experts
  size_t n_rows;
  std::span<const ExpertProjection> outs;
};

/// out[t] += sum_s weights[t, s] * y[row[t, s]] + sigmoid(shared_gate[t]) * shared[t], summed in
/// this order, so the result does not depend on threads.
struct ExpertCombineArgs {
  const float* y;            ///< [n_tokens * n_selected, dim], in group order
  const int32_t* row;        ///< [n_tokens, n_selected]
  const float* weights;      ///< [n_tokens, n_selected]
  const float* shared;       ///< [n_tokens, dim]: of the expert that every token goes to
  const float* shared_gate;  ///< [n_tokens]
  size_t n_tokens;
  size_t n_selected;
  size_t dim;
  float* out;  ///< [n_tokens, dim]
};

}  // namespace nibble
