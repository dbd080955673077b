// Every wrapper's prefix leads to the same name.
#include "checkpoint/storage/canonical_name.h"

#include <gtest/gtest.h>

namespace nibble {
namespace {

static_assert(canonical_name("model.language_model.layers.0.mlp.up_proj.weight") ==
              "layers.0.mlp.up_proj.weight");

TEST(CanonicalName, DropsWrappers) {
  const std::pair<const char*, const char*> cases[] = {
      {"model.language_model.norm.weight", "norm.weight"},
      {"language_model.model.norm.weight", "norm.weight"},
      {"model.norm.weight", "norm.weight"},
      {"norm.weight", "norm.weight"},
      {"model.language_model.language_model.norm.weight", "norm.weight"},
      {"language_model.language_model.model.norm.weight", "norm.weight"},
      {"lm_head.weight", "lm_head.weight"},
      {"language_model.lm_head.weight", "lm_head.weight"},
      {"model.lm_head.weight", "lm_head.weight"},
      {"model.visual.blocks.0.attn.qkv.weight", "visual.blocks.0.attn.qkv.weight"},
      {"visual.blocks.0.attn.qkv.weight", "visual.blocks.0.attn.qkv.weight"},
      {"mtp.fc.weight", "mtp.fc.weight"},
      {"model.mtp.fc.weight", "mtp.fc.weight"},
      {"model.language_model.layers.3.mlp.experts.17.up_proj.weight",
       "layers.3.mlp.experts.17.up_proj.weight"},
      {"modelling.weight", "modelling.weight"},
      {"model.", "model."},
      {"", ""},
  };
  for (const auto& [stored, canonical] : cases) EXPECT_EQ(canonical_name(stored), canonical);
}

}  // namespace
}  // namespace nibble
