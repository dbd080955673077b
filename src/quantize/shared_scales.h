// Tensor scales of matrices that engines fuse: they must be equal.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <unordered_map>

#include "checkpoint/checkpoint.h"
#include "core/result.h"
#include "model/tensor_table.h"
#include "tensor/quantized_matrix.h"

namespace nibble {

/// The NVFP4 matrix of a source in canonical form, in the source's order of value heads; nothing
/// for tensors stored otherwise. `owned` keeps the bytes where the source has another packing.
std::optional<QuantizedMatrixView> canonical_matrix(const Checkpoint& source,
                                                    const TensorInfo& tensor,
                                                    QuantizedMatrix& owned);

/// What a tensor scale must become so that its siblings share it: scale by tensor.
using SharedScales = std::unordered_map<const TensorInfo*, float>;

/// Looks at every fused group whose members are NVFP4 with different tensor scales. Where some
/// member's scale serves all exactly (a ratio that is a power of two, no block scale leaves the
/// range), the other members are listed with it. Errors: kInvalidArgument naming the groups for
/// which there is none.
Result<SharedScales> find_shared_scales(const Checkpoint& source, const TensorRoles& roles);

/// The matrix with another tensor scale and block scales that make up for it, exactly. CHECKs that
/// it is possible, as find_shared_scales found.
QuantizedMatrix rescale_exactly(const QuantizedMatrixView& matrix, float tensor_scale);

}  // namespace nibble
