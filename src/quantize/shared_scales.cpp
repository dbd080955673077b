#include "quantize/shared_scales.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <vector>

#include "numbers/e4m3.h"
#include "tensor/matrix_source.h"

namespace nibble {
namespace {

constexpr int kNoCode = -1;
constexpr size_t kMaxNamed = 1;

// For every block scale code, the code of the scale times `ratio`; kNoCode where there is none.
std::array<int, kE4m3MaxCode + 1> scaled_codes(float ratio) {
  std::array<int, kE4m3MaxCode + 1> codes{};
  for (size_t code = 0; code < codes.size(); ++code) {
    const float wanted = e4m3_to_f32(static_cast<uint8_t>(code)) * ratio;
    const uint8_t nearest = wanted <= kE4m3Max ? f32_to_e4m3(wanted) : uint8_t{0};
    codes[code] = e4m3_to_f32(nearest) == wanted ? nearest : kNoCode;
  }
  return codes;
}

bool is_power_of_two(float ratio) {
  int exponent = 0;
  return std::isnormal(ratio) && std::frexp(ratio, &exponent) == 0.5f;
}

bool can_rescale(const Checkpoint& source, const TensorInfo& tensor, float tensor_scale) {
  QuantizedMatrix owned;
  const auto matrix = canonical_matrix(source, tensor, owned);
  const float ratio = matrix->tensor_scale / tensor_scale;
  if (!is_power_of_two(ratio) || tensor_scale * ratio != matrix->tensor_scale) return false;
  const auto codes = scaled_codes(ratio);
  return std::all_of(matrix->scales.begin(), matrix->scales.end(), [&](uint8_t scale) {
    return scale <= kE4m3MaxCode && codes[scale] != kNoCode;
  });
}

float scale_of(const Checkpoint& source, const TensorInfo& tensor) {
  const MatrixSource matrix = source.matrix(tensor);
  if (const auto* blocks = std::get_if<BlockMatrixView>(&matrix)) return blocks->tensor_scale;
  return std::get<QuantizedMatrixView>(matrix).tensor_scale;
}

bool is_nvfp4(const TensorInfo& tensor) {
  return tensor.storage == Storage::kNvfp4 ||
         (tensor.storage == Storage::kBlocks && tensor.block_kind == BlockKind::kNvfp4);
}

// A member's scale that serves the whole group exactly; the largest such.
std::optional<float> common_scale(const Checkpoint& source,
                                  const std::vector<const TensorInfo*>& members) {
  std::vector<float> candidates;
  candidates.reserve(members.size());
  for (const TensorInfo* member : members) candidates.push_back(scale_of(source, *member));
  std::sort(candidates.rbegin(), candidates.rend());
  for (const float candidate : candidates) {
    const bool serves = std::all_of(members.begin(), members.end(), [&](const TensorInfo* member) {
      return scale_of(source, *member) == candidate || can_rescale(source, *member, candidate);
    });
    if (serves) return candidate;
  }
  return std::nullopt;
}

}  // namespace

std::optional<QuantizedMatrixView> canonical_matrix(const Checkpoint& source,
                                                    const TensorInfo& tensor,
                                                    QuantizedMatrix& owned) {
  if (!is_nvfp4(tensor)) return std::nullopt;
  const MatrixSource matrix = source.matrix(tensor);
  if (const auto* blocks = std::get_if<BlockMatrixView>(&matrix)) {
    owned = canonical_nvfp4(*blocks);
    return owned.view();
  }
  return std::get<QuantizedMatrixView>(matrix);
}

Result<SharedScales> find_shared_scales(const Checkpoint& source, const TensorRoles& roles) {
  std::map<std::string, std::vector<const TensorInfo*>> groups;
  for (const TensorInfo& tensor : source.tensors()) {
    const TensorSpec* spec = roles.find(tensor.name);
    if (spec == nullptr || spec->fused_group.empty() || !is_nvfp4(tensor)) continue;
    groups[spec->fused_group].push_back(&tensor);
  }
  SharedScales shared;
  std::vector<std::string> unequal;
  size_t n_unequal = 0;
  for (const auto& [group, members] : groups) {
    const float first = scale_of(source, *members.front());
    const auto differs = [&](const TensorInfo* m) { return scale_of(source, *m) != first; };
    const auto other = std::find_if(members.begin(), members.end(), differs);
    if (other == members.end()) continue;
    if (const auto common = common_scale(source, members)) {
      for (const TensorInfo* member : members) {
        if (scale_of(source, *member) != *common) shared.emplace(member, *common);
      }
      continue;
    }
    ++n_unequal;
    if (unequal.size() == kMaxNamed) continue;
    unequal.push_back(fmt::format("{} has {} and {} has {}", members.front()->name, first,
                                  (*other)->name, scale_of(source, **other)));
  }
  if (n_unequal == 0) return shared;
  return Error(
      ErrorCode::kInvalidArgument,
      fmt::format("{} groups of matrices that engines fuse have different tensor scales, "
                  "which cannot be made equal exactly: {}{}. vLLM and SGLang would decode "
                  "them wrongly. Quantize the original weights again, or convert to gguf, "
                  "where every matrix keeps its own scale, or give --keep-unequal for "
                  "readers that do not fuse",
                  n_unequal, fmt::join(unequal, "; "), n_unequal > unequal.size() ? "; ..." : ""),
      source.folder());
}

QuantizedMatrix rescale_exactly(const QuantizedMatrixView& matrix, float tensor_scale) {
  QuantizedMatrix out;
  out.rows = matrix.rows;
  out.cols = matrix.cols;
  out.codes.assign(matrix.codes.begin(), matrix.codes.end());
  out.tensor_scale = tensor_scale;
  out.input_scale = matrix.input_scale;
  const auto codes = scaled_codes(matrix.tensor_scale / tensor_scale);
  out.scales.reserve(matrix.scales.size());
  for (const uint8_t scale : matrix.scales) {
    CHECK(scale <= kE4m3MaxCode && codes[scale] != kNoCode);
    out.scales.push_back(static_cast<uint8_t>(codes[scale]));
  }
  return out;
}

}  // namespace nibble
