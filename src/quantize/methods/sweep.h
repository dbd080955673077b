// Scale sweep: the block scale with the least squared error among the E4M3 codes around the one
// that rounding to nearest takes.
#pragma once

#include <array>
#include <cstdint>

#include "quantize/methods/row_wise.h"

namespace nibble {

/// Steps from the round-to-nearest code, in the order in which ties are decided: the smaller
/// distance wins, upwards before downwards. Three down and seven up contain the optimum over all
/// E4M3 codes: further down clipping alone costs more, and from 12/7 of the largest magnitude's
/// scale on, half the scale is never worse.
inline constexpr std::array<int, 11> kSweepSteps = {0, 1, -1, 2, -2, 3, -3, 4, 5, 6, 7};

/// The scale code that the sweep takes for one block of 16.
uint8_t sweep_block_scale(const float* values, float tensor_scale);

/// Per block the best of kSweepSteps, codes = the nearest ones. Cost: eleven estimates a weight,
/// and eleven divisions where they do not tell (quantize/methods/isa).
Result<QuantizedMatrix> quantize_sweep(const MatrixTask& task, ThreadPool& pool);

}  // namespace nibble
