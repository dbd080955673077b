// What stored values show by themselves, without a source: scales of a cache that no calibration
// gives, codes that mean NaN.
#pragma once

#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "core/result.h"
#include "core/thread_pool.h"
#include "quantize/verify.h"

namespace nibble {

/// The value of an FP8 cache scale. Some tools write uncalibrated memory there.
/// Errors: kCorrupt for anything but one finite number between 1e-10 and 1e4: cached keys and
/// values stay far below 448 times that.
Result<float> read_cache_scale(const Checkpoint& checkpoint, const TensorInfo& tensor);

/// The same as a problem of verification.
void check_cache_scale(const Checkpoint& checkpoint, const TensorInfo& tensor,
                       std::vector<VerifyProblem>& problems);

/// NaN and infinity in FP8 codes and in the scales of GGUF blocks. Cost: one pass over the codes or
/// the scales.
void check_codes_finite(const Checkpoint& checkpoint, const TensorInfo& tensor, ThreadPool& pool,
                        std::vector<VerifyProblem>& problems);

}  // namespace nibble
