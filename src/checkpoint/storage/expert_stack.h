// Stacks of experts: checkpoints keep the matrices of a layer's experts one by one or in two
// tensors of rank 3. The canonical view has them one by one.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"

namespace nibble {

/// One matrix of a stack, under the name that it has where experts are stored one by one.
struct ExpertSlice {
  std::string stored_name;  ///< "model.layers.3.mlp.experts.17.up_proj.weight"
  uint64_t first_row = 0;   ///< among the rows of the whole stack, all axes but the last together
  uint64_t n_rows = 0;
};

/// What of many stacks one checkpoint may become; a header can claim more experts than it has
/// bytes.
inline constexpr uint64_t kMaxExpertSlices = uint64_t{3} << 17;

/// The matrices of "X.mlp.experts.gate_up_proj" [experts, 2 * inner, hidden] (of each expert the
/// gate's rows, then the up projection's) or "X.mlp.experts.down_proj" [experts, hidden, inner], in
/// the order of their bytes. None for other tensors, for those outside the text model's layers, for
/// shapes that cannot be a stack, and for more than `max_slices`.
std::vector<ExpertSlice> expert_slices(const TensorInfo& tensor, uint64_t max_slices);

}  // namespace nibble
