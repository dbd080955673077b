#include "checkpoint/value_heads.h"

#include <array>
#include <utility>

#include "core/check.h"

namespace nibble {
namespace {

constexpr std::array<std::pair<std::string_view, ValueHeadPart>, 8> kParts = {{
    {".linear_attn.in_proj_qkv.weight", ValueHeadPart::kRowsAfterKeys},
    {".linear_attn.conv1d.weight", ValueHeadPart::kRowsAfterKeys},
    {".linear_attn.in_proj_z.weight", ValueHeadPart::kRows},
    {".linear_attn.in_proj_a.weight", ValueHeadPart::kRows},
    {".linear_attn.in_proj_b.weight", ValueHeadPart::kRows},
    {".linear_attn.A_log", ValueHeadPart::kRows},
    {".linear_attn.dt_bias", ValueHeadPart::kRows},
    {".linear_attn.out_proj.weight", ValueHeadPart::kColumns},
}};

// The head, in the order `from`, of what stands at `head` in the other order.
uint64_t source_head(ValueHeadOrder from, const ValueHeads& heads, uint64_t head) {
  const uint64_t r = heads.n_value_heads / heads.n_key_heads;
  if (from == ValueHeadOrder::kGrouped) {
    return head % heads.n_key_heads * r + head / heads.n_key_heads;
  }
  return head % r * heads.n_key_heads + head / r;
}

}  // namespace

ValueHeadPart value_head_part(std::string_view name) {
  for (const auto& [ending, part] : kParts) {
    if (name.ends_with(ending)) return part;
  }
  return ValueHeadPart::kNone;
}

std::vector<uint64_t> reordered_value_heads(ValueHeadOrder from, const ValueHeads& heads,
                                            ValueHeadPart part, uint64_t n) {
  CHECK(heads.n_key_heads != 0 && heads.n_value_heads % heads.n_key_heads == 0);
  CHECK(part != ValueHeadPart::kNone);
  const uint64_t n_before =
      part == ValueHeadPart::kRowsAfterKeys ? 2 * heads.n_key_heads * heads.key_dim : 0;
  CHECK(n >= n_before && (n - n_before) % heads.n_value_heads == 0);
  const uint64_t width = (n - n_before) / heads.n_value_heads;
  std::vector<uint64_t> sources;
  sources.reserve(n);
  for (uint64_t i = 0; i < n_before; ++i) sources.push_back(i);
  for (uint64_t head = 0; head < heads.n_value_heads; ++head) {
    const uint64_t begin = n_before + source_head(from, heads, head) * width;
    for (uint64_t i = 0; i < width; ++i) sources.push_back(begin + i);
  }
  return sources;
}

}  // namespace nibble
