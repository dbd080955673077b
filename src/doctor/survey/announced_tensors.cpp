#include "doctor/survey/announced_tensors.h"

#include <fmt/format.h>

#include <initializer_list>

#include "model/tensor_table.h"

namespace nibble {
namespace {

constexpr int64_t kMaxVisionBlocks = 1024;

// Whether an expert's matrix, named as if it stood alone, lies in a stored stack of all experts.
bool lies_in_stack(const FolderSurvey& survey, const std::string& name) {
  constexpr std::string_view kExperts = ".mlp.experts.";
  const size_t at = name.find(kExperts);
  if (at == std::string::npos) return false;
  const std::string stem = name.substr(0, at + kExperts.size());
  const char* stack = name.ends_with("down_proj.weight") ? "down_proj" : "gate_up_proj";
  return survey.canonical_names.count(stem + stack) != 0;
}

AnnouncedPart compare(const FolderSurvey& survey, const std::vector<std::string>& expected) {
  AnnouncedPart part;
  for (const std::string& name : expected) {
    if (survey.canonical_names.count(name) != 0 || lies_in_stack(survey, name)) continue;
    part.missing.push_back(name);
  }
  part.state = part.missing.empty()                     ? PartState::kComplete
               : part.missing.size() == expected.size() ? PartState::kMissing
                                                        : PartState::kIncomplete;
  return part;
}

// Weights are expected to be matrices or vectors of which only the name counts here.
void add_pairs(const std::string& prefix, std::initializer_list<const char*> modules,
               std::vector<std::string>& names) {
  for (const char* module : modules) {
    names.push_back(fmt::format("{}{}.weight", prefix, module));
    names.push_back(fmt::format("{}{}.bias", prefix, module));
  }
}

int64_t count_field(const Json& object, const char* name) {
  const auto at = object.find(name);
  return at != object.end() && at->is_number_integer() ? at->get<int64_t>() : 0;
}

}  // namespace

AnnouncedPart text_part(const FolderSurvey& survey) {
  if (!survey.model) return {};
  const ModelConfig& model = *survey.model;
  const std::vector<TensorSpec> table = tensor_table(model);
  std::vector<std::string> names;
  names.reserve(table.size());
  for (const TensorSpec& spec : table) names.push_back(spec.name);
  return compare(survey, names);
}

AnnouncedPart vision_part(const FolderSurvey& survey) {
  if (!survey.model || !survey.model->has_vision) return {};
  const Json& vision = survey.config["vision_config"];
  std::vector<std::string> names;
  add_pairs("visual.",
            {"patch_embed.proj", "merger.norm", "merger.linear_fc1", "merger.linear_fc2"}, names);
  names.emplace_back("visual.pos_embed.weight");
  const int64_t depth = count_field(vision, "depth");
  for (int64_t i = 0; i < depth && i < kMaxVisionBlocks; ++i) {
    add_pairs(fmt::format("visual.blocks.{}.", i),
              {"norm1", "norm2", "attn.qkv", "attn.proj", "mlp.linear_fc1", "mlp.linear_fc2"},
              names);
  }
  const auto stacked = vision.find("deepstack_visual_indexes");
  const size_t n_stacked = stacked != vision.end() && stacked->is_array() ? stacked->size() : 0;
  for (size_t i = 0; i < n_stacked && i < static_cast<size_t>(kMaxVisionBlocks); ++i) {
    add_pairs(fmt::format("visual.deepstack_merger_list.{}.", i),
              {"norm", "linear_fc1", "linear_fc2"}, names);
  }
  return compare(survey, names);
}

AnnouncedPart mtp_part(const FolderSurvey& survey) {
  if (!survey.model || survey.model->n_mtp_layers == 0) return {};
  ModelConfig block = *survey.model;
  block.n_layers = block.n_mtp_layers;
  block.layer_kinds.assign(static_cast<size_t>(block.n_layers), LayerKind::kFullAttention);
  std::vector<std::string> names = {"mtp.fc.weight", "mtp.norm.weight",
                                    "mtp.pre_fc_norm_embedding.weight",
                                    "mtp.pre_fc_norm_hidden.weight"};
  for (const TensorSpec& spec : tensor_table(block)) {
    if (spec.layer >= 0) names.push_back("mtp." + spec.name);
  }
  return compare(survey, names);
}

const char* part_state_name(PartState state) {
  switch (state) {
    case PartState::kNotAnnounced:
      return "not announced";
    case PartState::kComplete:
      return "complete";
    case PartState::kIncomplete:
      return "incomplete";
    case PartState::kMissing:
      return "missing";
  }
  return "";
}

}  // namespace nibble
