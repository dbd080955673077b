#include "checkpoint/gguf/names.h"

#include <fmt/format.h>

#include <array>
#include <charconv>

#include "core/check.h"

namespace nibble {
namespace {

using Kind = GgufKind;
using Place = GgufPlace;
using Values = GgufValues;

constexpr std::string_view kWeightEnding = ".weight";
constexpr uint64_t kMaxIndex = 1u << 20;

constexpr std::array kRows = {
    GgufNameRow{Place::kModel, "embed_tokens.weight", "token_embd.weight"},
    GgufNameRow{Place::kModel, "norm.weight", "output_norm.weight", Kind::kSmall, Values::kPlusOne},
    GgufNameRow{Place::kModel, "lm_head.weight", "output.weight"},

    GgufNameRow{Place::kBlock, "input_layernorm.weight", "attn_norm.weight", Kind::kSmall,
                Values::kPlusOne},
    GgufNameRow{Place::kBlock, "linear_attn.in_proj_qkv.weight", "attn_qkv.weight"},
    GgufNameRow{Place::kBlock, "linear_attn.in_proj_z.weight", "attn_gate.weight"},
    GgufNameRow{Place::kBlock, "linear_attn.in_proj_b.weight", "ssm_beta.weight"},
    GgufNameRow{Place::kBlock, "linear_attn.in_proj_a.weight", "ssm_alpha.weight"},
    GgufNameRow{Place::kBlock, "linear_attn.conv1d.weight", "ssm_conv1d.weight", Kind::kSmall,
                Values::kOneAxisLess},
    GgufNameRow{Place::kBlock, "linear_attn.A_log", "ssm_a", Kind::kSmall, Values::kMinusExp},
    GgufNameRow{Place::kBlock, "linear_attn.dt_bias", "ssm_dt.bias", Kind::kSmall},
    GgufNameRow{Place::kBlock, "linear_attn.norm.weight", "ssm_norm.weight", Kind::kSmall},
    GgufNameRow{Place::kBlock, "linear_attn.out_proj.weight", "ssm_out.weight"},

    GgufNameRow{Place::kBlock, "self_attn.q_proj.weight", "attn_q.weight"},
    GgufNameRow{Place::kBlock, "self_attn.k_proj.weight", "attn_k.weight"},
    GgufNameRow{Place::kBlock, "self_attn.v_proj.weight", "attn_v.weight"},
    GgufNameRow{Place::kBlock, "self_attn.q_norm.weight", "attn_q_norm.weight", Kind::kSmall,
                Values::kPlusOne},
    GgufNameRow{Place::kBlock, "self_attn.k_norm.weight", "attn_k_norm.weight", Kind::kSmall,
                Values::kPlusOne},
    GgufNameRow{Place::kBlock, "self_attn.o_proj.weight", "attn_output.weight"},

    GgufNameRow{Place::kBlock, "post_attention_layernorm.weight", "post_attention_norm.weight",
                Kind::kSmall, Values::kPlusOne},
    GgufNameRow{Place::kBlock, "mlp.gate_proj.weight", "ffn_gate.weight"},
    GgufNameRow{Place::kBlock, "mlp.up_proj.weight", "ffn_up.weight"},
    GgufNameRow{Place::kBlock, "mlp.down_proj.weight", "ffn_down.weight"},

    GgufNameRow{Place::kBlock, "mlp.gate.weight", "ffn_gate_inp.weight", Kind::kSmall},
    GgufNameRow{Place::kExperts, "gate_proj.weight", "ffn_gate_exps.weight"},
    GgufNameRow{Place::kExperts, "up_proj.weight", "ffn_up_exps.weight"},
    GgufNameRow{Place::kExperts, "down_proj.weight", "ffn_down_exps.weight"},
    GgufNameRow{Place::kBlock, "mlp.shared_expert_gate.weight", "ffn_gate_inp_shexp.weight",
                Kind::kSmall, Values::kOneAxisLess},
    GgufNameRow{Place::kBlock, "mlp.shared_expert.gate_proj.weight", "ffn_gate_shexp.weight"},
    GgufNameRow{Place::kBlock, "mlp.shared_expert.up_proj.weight", "ffn_up_shexp.weight"},
    GgufNameRow{Place::kBlock, "mlp.shared_expert.down_proj.weight", "ffn_down_shexp.weight"},

    GgufNameRow{Place::kMtp, "fc.weight", "nextn.eh_proj.weight"},
    GgufNameRow{Place::kMtp, "pre_fc_norm_embedding.weight", "nextn.enorm.weight", Kind::kSmall,
                Values::kPlusOne},
    GgufNameRow{Place::kMtp, "pre_fc_norm_hidden.weight", "nextn.hnorm.weight", Kind::kSmall,
                Values::kPlusOne},
    GgufNameRow{Place::kMtp, "norm.weight", "nextn.shared_head_norm.weight", Kind::kSmall,
                Values::kPlusOne},
};

// Takes "<prefix>N." off the front of `name` and returns N. Leading zeros and signs are refused, so
// that no two names mean one tensor.
std::optional<uint64_t> take_index(std::string_view prefix, std::string_view& name) {
  if (!name.starts_with(prefix)) return std::nullopt;
  const std::string_view rest = name.substr(prefix.size());
  const size_t dot = rest.find('.');
  if (dot == std::string_view::npos || dot == 0 || (rest[0] == '0' && dot != 1)) {
    return std::nullopt;
  }
  uint64_t index = 0;
  const auto parsed = std::from_chars(rest.data(), rest.data() + dot, index);
  if (parsed.ec != std::errc() || parsed.ptr != rest.data() + dot || index > kMaxIndex) {
    return std::nullopt;
  }
  name = rest.substr(dot + 1);
  return index;
}

template <class Matches>
const GgufNameRow* find_row(const Matches& matches) {
  for (const GgufNameRow& row : kRows) {
    if (matches(row)) return &row;
  }
  return nullptr;
}

std::string with_ending(std::string_view gguf_name, std::string_view ending) {
  if (gguf_name.ends_with(kWeightEnding)) gguf_name.remove_suffix(kWeightEnding.size());
  return fmt::format("{}{}", gguf_name, ending);
}

}  // namespace

std::span<const GgufNameRow> gguf_name_rows() { return kRows; }

std::string GgufPlacedName::gguf_name() const {
  if (!block) return std::string(row->gguf_name);
  return fmt::format("blk.{}.{}", *block, row->gguf_name);
}

std::string GgufPlacedName::canonical_name(uint64_t n_layers) const {
  if (row->place == Place::kModel) return std::string(row->name);
  if (row->place == Place::kMtp) return fmt::format("mtp.{}", row->name);
  const bool is_mtp = *block >= n_layers;
  const std::string layer =
      fmt::format("{}layers.{}.", is_mtp ? "mtp." : "", is_mtp ? *block - n_layers : *block);
  if (row->place == Place::kBlock) return fmt::format("{}{}", layer, row->name);
  CHECK(expert.has_value());
  return fmt::format("{}mlp.experts.{}.{}", layer, *expert, row->name);
}

std::optional<GgufPlacedName> place_canonical_name(std::string_view name, uint64_t n_layers) {
  GgufPlacedName placed;
  const bool is_mtp = name.starts_with("mtp.");
  if (is_mtp) name.remove_prefix(4);
  Place place = is_mtp ? Place::kMtp : Place::kModel;
  if (is_mtp) placed.block = n_layers;
  if (const auto layer = take_index("layers.", name)) {
    if (!is_mtp && *layer >= n_layers) return std::nullopt;
    placed.block = is_mtp ? n_layers + *layer : *layer;
    placed.expert = take_index("mlp.experts.", name);
    place = placed.expert ? Place::kExperts : Place::kBlock;
  }
  placed.row =
      find_row([&](const GgufNameRow& row) { return row.place == place && row.name == name; });
  if (placed.row == nullptr) return std::nullopt;
  return placed;
}

std::optional<GgufPlacedName> place_gguf_name(std::string_view gguf_name) {
  GgufPlacedName placed;
  placed.block = take_index("blk.", gguf_name);
  const bool in_block = placed.block.has_value();
  placed.row = find_row([&](const GgufNameRow& row) {
    return (row.place != Place::kModel) == in_block && row.gguf_name == gguf_name;
  });
  if (placed.row == nullptr) return std::nullopt;
  return placed;
}

std::string gguf_scale_name(std::string_view gguf_name) { return with_ending(gguf_name, ".scale"); }

std::string gguf_input_scale_name(std::string_view gguf_name) {
  return with_ending(gguf_name, ".input_scale");
}

}  // namespace nibble
