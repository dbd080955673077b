#include "quantize/verification/matrix_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "numbers/nvfp4.h"
#include "quantize/methods/sweep.h"
#include "quantize/verification/problem_kinds.h"

namespace nibble {
namespace {

constexpr size_t kGrainElements = size_t{1} << 14;
// No weight of a trained model comes near 6 * 448 times this.
constexpr float kMaxPlausibleTensorScale = 16.0f;
// Readers and writers round quotients differently; what they disagree on lies this near to the
// middle between two codes, in units of the block's scale.
constexpr double kTieTolerance = 1e-5;
// A producer that rounds block scales by other arithmetic disagrees only this near to the middle
// between two codes, relative to it.
constexpr float kScaleTolerance = 0.005f;

// How often something happened, and where first.
struct Sightings {
  uint64_t n = 0;
  uint64_t first_row = 0;
  uint64_t first_col = 0;

  void see(uint64_t row, uint64_t col) {
    if (n++ > 0) return;
    first_row = row;
    first_col = col;
  }
  void add(const Sightings& later) {
    if (n == 0)
      *this = later;
    else
      n += later.n;
  }
};

struct RowFindings {
  uint64_t n_like_rtn = 0;
  uint64_t n_like_sweep = 0;
  Sightings not_like_rtn;
  Sightings not_like_sweep;
  Sightings not_nearest;
  Sightings lost;
  uint64_t n_negative_zeros = 0;  // weights below zero that were rounded to -0
  Sightings plain_zeros;          // weights below zero that were rounded to +0
  Sightings wrong_zeros;          // weights above zero that were rounded to -0

  void add(const RowFindings& later) {
    n_like_rtn += later.n_like_rtn;
    n_like_sweep += later.n_like_sweep;
    not_like_rtn.add(later.not_like_rtn);
    not_like_sweep.add(later.not_like_sweep);
    not_nearest.add(later.not_nearest);
    lost.add(later.lost);
    n_negative_zeros += later.n_negative_zeros;
    plain_zeros.add(later.plain_zeros);
    wrong_zeros.add(later.wrong_zeros);
  }
};

float amax_of(const float* values) {
  float amax = 0.0f;
  for (size_t i = 0; i < kNvfp4BlockSize; ++i) amax = std::max(amax, std::fabs(values[i]));
  return amax;
}

// Whether the stored code is the neighbour of the nearest one across a middle that the ideal scale
// almost hits.
bool is_almost_tied(uint8_t stored, uint8_t nearest, float amax, float tensor_scale) {
  if (std::abs(static_cast<int>(stored) - static_cast<int>(nearest)) != 1) return false;
  const float middle = (e4m3_to_f32(stored) + e4m3_to_f32(nearest)) / 2;
  return std::fabs(amax / (kE2m1Max * tensor_scale) - middle) <= kScaleTolerance * middle;
}

void check_block_scale(const float* values, uint8_t stored, float tensor_scale, uint64_t row,
                       uint64_t col, RowFindings& found) {
  const float amax = amax_of(values);
  const uint8_t nearest = nvfp4_block_scale(amax, tensor_scale);
  if (stored == nearest) {
    ++found.n_like_rtn;
  } else if (amax != 0.0f && !is_almost_tied(stored, nearest, amax, tensor_scale)) {
    found.not_like_rtn.see(row, col);
  }
  if (stored == sweep_block_scale(values, tensor_scale)) {
    ++found.n_like_sweep;
  } else if (amax != 0.0f) {
    found.not_like_sweep.see(row, col);
  }
}

void check_block_codes(const float* values, const uint8_t* packed, uint8_t stored_scale,
                       float tensor_scale, uint64_t row, uint64_t col, RowFindings& found) {
  uint8_t best_packed[kNvfp4BlockBytes];
  float stored[kNvfp4BlockSize];
  float best[kNvfp4BlockSize];
  nvfp4_encode_block(values, stored_scale, tensor_scale, best_packed);
  nvfp4_decode_block(best_packed, stored_scale, tensor_scale, best);
  nvfp4_decode_block(packed, stored_scale, tensor_scale, stored);
  const double tolerance = kTieTolerance * static_cast<double>(e4m3_to_f32(stored_scale)) *
                           static_cast<double>(tensor_scale);
  bool any_weight = false;
  bool any_value = false;
  for (size_t i = 0; i < kNvfp4BlockSize; ++i) {
    const double weight = values[i];
    if (std::fabs(weight - stored[i]) > std::fabs(weight - best[i]) + tolerance) {
      found.not_nearest.see(row, col + i);
    }
    any_weight = any_weight || values[i] != 0.0f;
    any_value = any_value || stored[i] != 0.0f;
    if (stored[i] != 0.0f || values[i] == 0.0f) continue;
    const bool is_negative_zero = std::signbit(stored[i]);
    if (values[i] > 0.0f) {
      if (is_negative_zero) found.wrong_zeros.see(row, col + i);
    } else if (is_negative_zero) {
      ++found.n_negative_zeros;
    } else {
      found.plain_zeros.see(row, col + i);
    }
  }
  // With the smallest scale there is, values that still round to zero are rightly lost.
  if (any_weight && !any_value && stored_scale != kNvfp4MinScale) found.lost.see(row, col);
}

RowFindings check_row(std::span<const float> values, const QuantizedMatrixView& matrix,
                      uint64_t row) {
  RowFindings found;
  const uint64_t n_blocks = matrix.cols / kNvfp4BlockSize;
  for (uint64_t b = 0; b < n_blocks; ++b) {
    const float* block = values.data() + b * kNvfp4BlockSize;
    const uint64_t index = row * n_blocks + b;
    const uint8_t scale = matrix.scales[index];
    const uint64_t col = b * kNvfp4BlockSize;
    if (scale < kNvfp4MinScale || scale > kE4m3MaxCode) continue;  // reported by the scales' check
    check_block_scale(block, scale, matrix.tensor_scale, row, col, found);
    check_block_codes(block, matrix.codes.data() + index * kNvfp4BlockBytes, scale,
                      matrix.tensor_scale, row, col, found);
  }
  return found;
}

std::string sightings_text(const Sightings& seen, std::string_view unit, std::string_view what) {
  return fmt::format("{} {} {}, the first at row {}, column {}", seen.n, unit, what, seen.first_row,
                     seen.first_col);
}

// Where all blocks but a few took the scale that a known method takes, those few were changed
// later.
void report_unexpected_scales(const std::string& name, const RowFindings& found, uint64_t n_blocks,
                              std::vector<VerifyProblem>& problems) {
  const bool like_sweep = found.n_like_sweep > found.n_like_rtn;
  const uint64_t n_like = like_sweep ? found.n_like_sweep : found.n_like_rtn;
  const Sightings& other = like_sweep ? found.not_like_sweep : found.not_like_rtn;
  if (other.n == 0 || n_blocks - n_like > std::max<uint64_t>(1, n_blocks / 200)) return;
  problems.push_back(problem(
      kBlockScaleUnexpected, name,
      sightings_text(other, "block scales",
                     fmt::format("differ from what {} gives, which the other {} follow",
                                 like_sweep ? "the sweep" : "rounding to nearest", n_like))));
}

void report_findings(const std::string& name, const RowFindings& found, uint64_t n_blocks,
                     std::vector<VerifyProblem>& problems) {
  if (found.not_nearest.n > 0) {
    problems.push_back(
        problem(kCodesNotNearest, name,
                sightings_text(found.not_nearest, "codes",
                               "are not the nearest to their weights under the stored scales")));
  }
  if (found.lost.n > 0) {
    problems.push_back(problem(
        kBlockLost, name,
        sightings_text(found.lost, "blocks", "decode to zeros although the source is not zero")));
  }
  if (found.wrong_zeros.n > 0 || (found.n_negative_zeros > 0 && found.plain_zeros.n > 0)) {
    const Sightings& seen = found.wrong_zeros.n > 0 ? found.wrong_zeros : found.plain_zeros;
    problems.push_back(problem(
        kZeroSignsMixed, name,
        sightings_text(seen, "codes", "are zeros with another sign than the rest of the matrix")));
  }
  report_unexpected_scales(name, found, n_blocks, problems);
}

}  // namespace

void check_matrix_scales(const std::string& name, const QuantizedMatrixView& matrix,
                         std::vector<VerifyProblem>& problems) {
  Sightings bad;
  const uint64_t n_blocks = matrix.cols / kNvfp4BlockSize;
  for (uint64_t i = 0; i < matrix.scales.size(); ++i) {
    const uint8_t code = matrix.scales[i];
    if (code >= kNvfp4MinScale && code <= kE4m3MaxCode) continue;
    bad.see(i / n_blocks, i % n_blocks * kNvfp4BlockSize);
  }
  if (bad.n > 0) {
    const uint8_t first = matrix.scales[bad.first_row * n_blocks + bad.first_col / kNvfp4BlockSize];
    problems.push_back(
        problem(kBlockScaleInvalid, name,
                sightings_text(bad, "block scales",
                               fmt::format("are zero, negative or NaN (0x{:02x})", first))));
  }
  const float scale = matrix.tensor_scale;
  if (!std::isfinite(scale) || scale <= 0.0f || scale > kMaxPlausibleTensorScale) {
    problems.push_back(problem(
        kTensorScaleInvalid, name,
        fmt::format("the tensor scale is {}; a small positive number was expected", scale)));
  }
}

void check_matrix_codes(const std::string& name, const TensorView& weights,
                        const QuantizedMatrixView& matrix, ThreadPool& pool,
                        std::vector<VerifyProblem>& problems) {
  CHECK((weights.shape == Shape{matrix.rows, matrix.cols}));
  const size_t cols = matrix.cols;
  const size_t row_bytes = cols * dtype_bytes(weights.dtype);
  std::vector<RowFindings> rows(matrix.rows);
  const size_t grain = std::max<size_t>(1, kGrainElements / std::max<size_t>(1, cols));
  pool.parallel_for(rows.size(), grain, [&](size_t begin, size_t end) {
    std::vector<float> values(cols);
    for (size_t r = begin; r < end; ++r) {
      const TensorView row{weights.dtype, {cols}, weights.bytes.subspan(r * row_bytes, row_bytes)};
      CHECK(to_f32(row, values).has_value());
      rows[r] = check_row(values, matrix, r);
    }
  });
  RowFindings all;
  for (const RowFindings& row : rows) all.add(row);
  report_findings(name, all, matrix.scales.size(), problems);
}

}  // namespace nibble
