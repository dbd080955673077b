// The largest magnitude of a tensor, and proof that all its values are numbers.
#pragma once

#include "checkpoint/checkpoint.h"
#include "core/result.h"
#include "core/thread_pool.h"

namespace nibble {

/// The same for a part of a tensor's values that begins at the element `first`, as they are about
/// to be stored.
Result<float> largest_magnitude(const TensorInfo& tensor, const TensorView& values, uint64_t first,
                                ThreadPool& pool);

/// The largest magnitude of a plain floating tensor; 0 for an empty one. The same for every number
/// of threads. Cost: one pass. Errors: kNotFinite (the first bad index is in the message).
Result<float> largest_magnitude(const Checkpoint& checkpoint, const TensorInfo& tensor,
                                ThreadPool& pool);

}  // namespace nibble
