// Plays through, for one engine, which modules its reading of the description makes quantized, and
// compares that with what is stored.
//
// Engines rename prefixes and run several projections as one, and each has rules of its own for
// matching the list of modules that are not quantized; a list that is right for the tool that wrote
// it may so be wrong for the engine.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "doctor/survey/folder_survey.h"

namespace nibble {

enum class LoaderEngine : uint8_t { kVllm, kSglang, kTransformers };

/// "vLLM", ...
std::string_view loader_engine_title(LoaderEngine engine);

/// Where a module stands.
enum class ModuleArea : uint8_t { kText, kVision, kHead, kMtp };

/// One module (or fused set of them) that an engine would build other than it is stored.
struct ListGap {
  ModuleArea area = ModuleArea::kText;
  std::string runtime_name;       ///< as the engine calls it
  std::string stored_name;        ///< one stored member
  bool stored_quantized = false;  ///< otherwise it is stored plain and would be built quantized
};

/// All gaps of a folder whose dialect is compressed-tensors or modelopt; empty for others.
std::vector<ListGap> list_gaps(const FolderSurvey& survey, LoaderEngine engine);

/// "layers.0.mlp.gate_proj" -> "layers.0.mlp.gate_up_proj"; empty where engines fuse nothing.
std::string fused_name(std::string_view module);

}  // namespace nibble
