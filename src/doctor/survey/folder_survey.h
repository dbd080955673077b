// Everything a checkpoint folder says, read with tolerance: what cannot be read is a finding.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "core/json.h"
#include "doctor/diagnose.h"
#include "model/config.h"

namespace nibble {

/// One stored tensor.
struct SurveyedTensor {
  std::string shard;
  DType dtype = DType::kF32;
  Shape shape;
  std::optional<float> value;  ///< where it has one floating element
};

/// One module "X" whose tensor "X.weight" or "X.weight_packed" (or scales of it) is stored.
struct SurveyedModule {
  std::string name;  ///< stored
  std::string canonical;
  Storage storage = Storage::kPlain;            ///< kPlain, kNvfp4 or kFp8
  bool linear_like = false;                     ///< two axes
  bool has_row_scales = false;                  ///< FP8 with one scale a row
  std::map<std::string, SurveyedTensor> parts;  ///< by ending: "weight", "weight_scale", ...

  const SurveyedTensor* part(const std::string& ending) const;
};

struct FolderSurvey {
  std::string folder;
  Json config;       ///< null where it cannot be read
  Json hf_quant;     ///< hf_quant_config.json; null where there is none
  Json description;  ///< the one that counts; null where there is none
  bool described_in_config = false;
  std::string dialect;  ///< "hf", "compressed-tensors", "modelopt", "auto-round", "none"
  std::vector<std::string> shards;                ///< weight files that are part of the checkpoint
  std::map<std::string, SurveyedTensor> tensors;  ///< by stored name
  std::map<std::string, SurveyedModule> modules;  ///< by stored name
  std::set<std::string> canonical_names;          ///< of tensors, weights as "X.weight"
  std::optional<ModelConfig> model;               ///< where config.json is understood
  bool all_say_pt = true;                         ///< every shard's metadata has "format": "pt"
  std::vector<Finding> findings;                  ///< files that could not be read

  bool has_file(std::string_view name) const;
  /// A quantized matrix is stored.
  bool is_quantized() const;
};

/// Reads the folder. Errors: kNotFound (no such folder).
Result<FolderSurvey> survey_folder(const std::string& folder);

}  // namespace nibble
