#include "quantize/verification/stored_values_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <limits>

#include "quantize/verification/problem_kinds.h"

namespace nibble {
namespace {

constexpr float kMaxCacheScale = 1e4f;
constexpr float kMinCacheScale = 1e-10f;

}  // namespace

Result<float> read_cache_scale(const Checkpoint& checkpoint, const TensorInfo& tensor) {
  if (tensor.storage != Storage::kPlain || n_elements(tensor.shape) != 1) {
    return Error(ErrorCode::kCorrupt,
                 fmt::format("is {} {}; the scale of an FP8 cache is one float",
                             storage_name(tensor), shape_text(tensor.shape)),
                 tensor.name);
  }
  float value = 0.0f;
  const Status status = to_f32(checkpoint.plain(tensor), std::span(&value, 1));
  if (!status) return Error(ErrorCode::kCorrupt, status.error().message, tensor.name);
  if (value >= kMinCacheScale && value <= kMaxCacheScale) return value;
  return Error(ErrorCode::kCorrupt,
               fmt::format("is {}, which cannot be the scale of an FP8 cache", value), tensor.name);
}

void check_cache_scale(const Checkpoint& checkpoint, const TensorInfo& tensor,
                       std::vector<VerifyProblem>& problems) {
  const auto value = read_cache_scale(checkpoint, tensor);
  if (value) return;
  problems.push_back(problem(kCacheScaleInvalid, tensor.name, value.error().message));
}

void check_codes_finite(const Checkpoint& checkpoint, const TensorInfo& tensor, ThreadPool& pool,
                        std::vector<VerifyProblem>& problems) {
  constexpr uint64_t kNone = std::numeric_limits<uint64_t>::max();
  constexpr size_t kGrainElements = size_t{1} << 18;
  const MatrixSource source = checkpoint.matrix(tensor);
  std::atomic<uint64_t> first{kNone};
  const size_t grain_rows = kGrainElements / std::max<uint64_t>(1, matrix_cols(source)) + 1;
  pool.parallel_for(matrix_rows(source), grain_rows, [&](size_t begin, size_t end) {
    const auto row = first_not_finite_row(source, begin, end - begin);
    uint64_t seen = first.load();
    while (row && *row < seen && !first.compare_exchange_weak(seen, *row)) {
    }
  });
  if (first.load() == kNone) return;
  problems.push_back(problem(kWeightNotFinite, tensor.name,
                             fmt::format("holds a NaN or an infinity in row {}, stored as {}",
                                         first.load(), storage_name(tensor))));
}

}  // namespace nibble
