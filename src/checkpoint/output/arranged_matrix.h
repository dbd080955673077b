// A tensor of a source with its value heads in the order that the output needs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "checkpoint/grouped_matrix.h"
#include "checkpoint/value_heads.h"
#include "core/result.h"
#include "tensor/matrix_source.h"

namespace nibble {

/// Where the heads of a source stand, and where those of the output do.
struct HeadArrangement {
  ValueHeads heads;
  ValueHeadOrder from = ValueHeadOrder::kGrouped;
  ValueHeadOrder to = ValueHeadOrder::kGrouped;

  /// Whether the tensor of that canonical name changes.
  bool moves(const TensorInfo& tensor) const;
};

/// Puts rows or columns of one tensor in the order of the output. Codes and scales move with the
/// values that they state: nothing is rounded. NVFP4 of GGUF becomes canonical NVFP4 where it
/// moves; other blocks wider than a head become F32. Cost: a copy of the tensor where it moves.
/// Errors: kUnsupported (NVFP4 whose blocks are cut by a head), kCorrupt (a shape without room for
/// the heads), kOutOfMemory.
Result<ArrangedMatrix> arrange_matrix(const MatrixSource& source, const TensorInfo& tensor,
                                      const HeadArrangement& arrangement);
/// The same for a tensor of a checkpoint.
inline Result<ArrangedMatrix> arrange_matrix(const Checkpoint& source, const TensorInfo& tensor,
                                             const HeadArrangement& arrangement) {
  return arrange_matrix(source.matrix(tensor), tensor, arrangement);
}

}  // namespace nibble
