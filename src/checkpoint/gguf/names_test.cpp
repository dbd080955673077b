// Names of GGUF files and canonical names, both ways.
#include "checkpoint/gguf/names.h"

#include <gtest/gtest.h>

#include <set>

namespace nibble {
namespace {

void expect_pair(const std::string& canonical, const std::string& gguf) {
  constexpr uint64_t kLayers = 8;
  const auto there = place_canonical_name(canonical, kLayers);
  ASSERT_TRUE(there) << canonical;
  EXPECT_EQ(there->gguf_name(), gguf);
  auto back = place_gguf_name(gguf);
  ASSERT_TRUE(back) << gguf;
  EXPECT_EQ(back->row, there->row);
  back->expert = there->expert;
  EXPECT_EQ(back->canonical_name(kLayers), canonical);
}

TEST(GgufNames, NamesTensorsBothWays) {
  expect_pair("embed_tokens.weight", "token_embd.weight");
  expect_pair("norm.weight", "output_norm.weight");
  expect_pair("lm_head.weight", "output.weight");
  expect_pair("layers.0.linear_attn.A_log", "blk.0.ssm_a");
  expect_pair("layers.7.mlp.down_proj.weight", "blk.7.ffn_down.weight");
  expect_pair("mtp.fc.weight", "blk.8.nextn.eh_proj.weight");
  expect_pair("mtp.norm.weight", "blk.8.nextn.shared_head_norm.weight");
  expect_pair("mtp.layers.0.self_attn.q_norm.weight", "blk.8.attn_q_norm.weight");
  expect_pair("mtp.layers.1.mlp.up_proj.weight", "blk.9.ffn_up.weight");
  expect_pair("layers.3.mlp.experts.17.up_proj.weight", "blk.3.ffn_up_exps.weight");
  expect_pair("layers.3.mlp.shared_expert_gate.weight", "blk.3.ffn_gate_inp_shexp.weight");
}

TEST(GgufNames, GivesEveryRowTwoNamesOfItsOwn) {
  std::set<std::string> names;
  for (const GgufNameRow& row : gguf_name_rows()) {
    EXPECT_TRUE(names.insert(std::string(row.gguf_name)).second) << row.gguf_name;
    const GgufPlacedName placed = {
        &row, row.place == GgufPlace::kModel ? std::nullopt : std::optional<uint64_t>(8), 0};
    EXPECT_TRUE(names.insert(placed.canonical_name(8)).second) << row.name;
  }
}

TEST(GgufNames, RefusesWhatIsNoName) {
  for (const char* name :
       {"", "blk", "blk.", "blk..ffn_up.weight", "blk.-1.ffn_up.weight", "blk.01.ffn_up.weight",
        "blk.99999999999999999999.ffn_up.weight", "blk.3.token_embd.weight", "ffn_up.weight",
        "blk.3.ffn_up.bias", "rope_freqs.weight", "blk.0x3.ffn_up.weight"}) {
    EXPECT_FALSE(place_gguf_name(name)) << name;
  }
  for (const char* name :
       {"layers.8.mlp.up_proj.weight", "layers.0.mlp.experts.gate_up_proj", "visual.norm.weight",
        "mtp.embed_tokens.weight", "layers.0.linear_attn.norm.bias", "layers..norm.weight"}) {
    EXPECT_FALSE(place_canonical_name(name, 8)) << name;
  }
}

TEST(GgufNames, NamesScales) {
  EXPECT_EQ(gguf_scale_name("blk.0.ffn_up.weight"), "blk.0.ffn_up.scale");
  EXPECT_EQ(gguf_input_scale_name("output.weight"), "output.input_scale");
}

}  // namespace
}  // namespace nibble
