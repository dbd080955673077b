// The largest magnitude of a tensor, and proof that all its values are numbers.
#pragma once

#include "checkpoint/checkpoint.h"
#include "core/result.h"
#include "core/thread_pool.h"

namespace nibble {

/// The largest magnitude of a plain floating tensor; 0 for an empty one. The same for every number
/// of threads. Cost: one pass. Errors: kNotFinite (the first bad index is in the message).
Result<float> largest_magnitude(const Checkpoint& checkpoint, const TensorInfo& tensor,
                                ThreadPool& pool);

}  // namespace nibble
