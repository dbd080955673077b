#include "checkpoint/storage/expert_stack.h"

#include <fmt/format.h>

#include <span>
#include <string_view>

#include "checkpoint/storage/canonical_name.h"

namespace nibble {
namespace {

constexpr std::string_view kGateUp = ".mlp.experts.gate_up_proj";
constexpr std::string_view kDown = ".mlp.experts.down_proj";
constexpr std::string_view kGateUpParts[] = {"gate_proj", "up_proj"};
constexpr std::string_view kDownParts[] = {"down_proj"};

// The projections that each expert has in the stack of that name.
std::span<const std::string_view> parts_of(std::string_view stored_name) {
  if (stored_name.ends_with(kGateUp)) return kGateUpParts;
  if (stored_name.ends_with(kDown)) return kDownParts;
  return {};
}

}  // namespace

std::vector<ExpertSlice> expert_slices(const TensorInfo& tensor, uint64_t max_slices) {
  const std::string_view name = tensor.stored_name;
  const std::span<const std::string_view> parts = parts_of(name);
  if (parts.empty() || !canonical_name(name).starts_with("layers.")) return {};
  if (tensor.storage != Storage::kPlain || tensor.shape.size() != 3) return {};
  const uint64_t n_experts = tensor.shape[0];
  const uint64_t expert_rows = tensor.shape[1];
  if (tensor.n_bytes == 0 || expert_rows % parts.size() != 0) return {};
  if (n_experts > max_slices / parts.size()) return {};
  const std::string_view experts = name.substr(0, name.rfind('.'));
  const uint64_t n_rows = expert_rows / parts.size();
  std::vector<ExpertSlice> slices;
  slices.reserve(n_experts * parts.size());
  for (uint64_t expert = 0; expert < n_experts; ++expert) {
    for (const std::string_view part : parts) {
      slices.push_back(
          {fmt::format("{}.{}.{}.weight", experts, expert, part), slices.size() * n_rows, n_rows});
    }
  }
  return slices;
}

}  // namespace nibble
