// The examinations that make up a diagnosis; each adds findings and sets facts.
#pragma once

#include "doctor/diagnose.h"
#include "doctor/survey/folder_survey.h"

namespace nibble {

/// Parts of quantized matrices, their types and shapes, scalar scales, fused siblings, cache
/// scales.
void examine_matrices(const FolderSurvey& survey, Diagnosis& diagnosis);

/// What config.json announces and what is stored; class, type and prefix.
void examine_model(const FolderSurvey& survey, Diagnosis& diagnosis);

/// The description of the quantization: one only, known schemes, lists that survive fused names.
void examine_description(const FolderSurvey& survey, Diagnosis& diagnosis);

/// The files: modes, index, metadata, tokenizer, template, processor.
void examine_files(const FolderSurvey& survey, Diagnosis& diagnosis);

/// The class and types of config.json that fit the stored tensors.
struct FittingClass {
  bool known = false;  ///< the tensors are of this family
  bool has_vision = false;
  std::string architecture;
  std::string model_type;
  std::string text_type;  ///< of text_config
};
FittingClass fitting_class(const FolderSurvey& survey);

/// Whether config.json says what fitting_class does, or an equivalent of it.
bool class_fits(const FolderSurvey& survey);

/// Every file of the folder that other users cannot read.
std::vector<std::string> private_files(const std::string& folder);

/// Whether the index is missing (several shards) or does not list exactly what is stored.
bool index_is_wrong(const FolderSurvey& survey);

/// The keys inside weights and activations of the groups that compressed-tensors does not know, as
/// "group_0.weights.key".
std::vector<std::string> unknown_argument_keys(const Json& description);

/// What a description's groups or algorithm say; see the fact of this name.
bool scheme_known(const FolderSurvey& survey);

}  // namespace nibble
