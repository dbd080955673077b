// Compares one quantized matrix with the weights it came from, block by block.
#pragma once

#include <vector>

#include "core/thread_pool.h"
#include "quantize/verify.h"

namespace nibble {

/// What the scales alone show: bytes outside 0x01 to 0x7e, a tensor scale that is not a plausible
/// number. Cost: one pass over the scales.
void check_matrix_scales(const std::string& name, const QuantizedMatrixView& matrix,
                         std::vector<VerifyProblem>& problems);

/// All that compare with the source can show; see verify_checkpoint.
///   weights  [rows, cols] of the matrix, any floating dtype
/// The result is the same for every number of threads. Cost: about that of quantizing again.
void check_matrix_codes(const std::string& name, const TensorView& weights,
                        const QuantizedMatrixView& matrix, ThreadPool& pool,
                        std::vector<VerifyProblem>& problems);

}  // namespace nibble
