#include "quantize/methods/sweep.h"

#include "quantize/methods/block_arithmetic.h"

namespace nibble {
namespace {

uint8_t best_scale(const float* block, float tensor_scale) {
  const float amax = block_amax(block);
  const uint8_t nearest = nvfp4_block_scale(amax, tensor_scale);
  if (amax == 0.0f) return nearest;
  float magnitudes[kNvfp4BlockSize];
  for (size_t i = 0; i < kNvfp4BlockSize; ++i) magnitudes[i] = std::fabs(block[i]);
  uint8_t best = nearest;
  double least = block_error(magnitudes, e4m3_to_f32(nearest) * tensor_scale);
  for (size_t k = 1; k < kSweepSteps.size(); ++k) {
    const int code = nearest + kSweepSteps[k];
    if (code < kNvfp4MinScale || code > kE4m3MaxCode) continue;
    const float scale = e4m3_to_f32(static_cast<uint8_t>(code)) * tensor_scale;
    const double error = block_error(magnitudes, scale);
    if (error < least) {
      least = error;
      best = static_cast<uint8_t>(code);
    }
  }
  return best;
}

}  // namespace

uint8_t sweep_block_scale(const float* values, float tensor_scale) {
  return best_scale(values, tensor_scale);
}

Result<QuantizedMatrix> quantize_sweep(const MatrixTask& task, ThreadPool& pool) {
  return quantize_rows(task, best_row_kernels().sweep, pool);
}

}  // namespace nibble
