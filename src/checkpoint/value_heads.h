// The order of the value heads of a DeltaNet layer, which differs between dialects.
//
// With r value heads a key head, Hugging Face groups them: head h belongs to key head h / r. GGUF
// files tile them: head j belongs to key head j mod n_key_heads, so that tiled head j is grouped
// head (j mod n_key_heads) * r + j / n_key_heads. With r = 1 the two are the same.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace nibble {

enum class ValueHeadOrder : uint8_t { kGrouped, kTiled };

/// "grouped" and "tiled": the values of "linear_value_head_order" in a text_config. Checkpoints
/// that say nothing are grouped.
inline constexpr std::string_view kValueHeadOrderField = "linear_value_head_order";
inline constexpr std::string_view kGroupedOrder = "grouped";
inline constexpr std::string_view kTiledOrder = "tiled";

/// What the order depends on: counts and sizes of the heads of a model's DeltaNet layers.
struct ValueHeads {
  uint64_t n_key_heads = 0;
  uint64_t n_value_heads = 0;  ///< a multiple of n_key_heads
  uint64_t key_dim = 0;
  uint64_t value_dim = 0;
};

/// Which part of a tensor runs over value heads.
enum class ValueHeadPart : uint8_t {
  kNone,
  kRows,           ///< all rows, value_dim or 1 of them a head (in_proj_z; in_proj_a, A_log, ...)
  kRowsAfterKeys,  ///< the rows after those of q and k (in_proj_qkv, conv1d)
  kColumns,        ///< all columns, value_dim of them a head (out_proj)
};

/// By canonical name ("layers.0.linear_attn.out_proj.weight").
ValueHeadPart value_head_part(std::string_view name);

/// Where the rows or columns of a tensor come from when its heads are put into the other order:
/// result[i] is the index, in a tensor of the order `from`, of what stands at i in the other one.
///   n  rows, or columns for kColumns: as value_head_part and `heads` imply (CHECK)
std::vector<uint64_t> reordered_value_heads(ValueHeadOrder from, const ValueHeads& heads,
                                            ValueHeadPart part, uint64_t n);

}  // namespace nibble
