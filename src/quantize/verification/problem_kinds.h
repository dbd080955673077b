// The kinds of problems that verification finds: a stable code and what to do about each.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "quantize/verify.h"

namespace nibble {

struct ProblemKind {
  std::string_view code;
  std::string_view fix;
};

inline constexpr std::string_view kExportAgain = "quantize the source again";

inline constexpr ProblemKind kDoesNotOpen = {"does_not_open",
                                             "repair or export again what the message names"};
inline constexpr ProblemKind kConfigUnreadable = {"config_unreadable",
                                                  "restore config.json from the source"};
inline constexpr ProblemKind kTensorsDoNotFit = {
    "tensors_do_not_fit", "export again with all tensors of the model, or correct config.json"};
inline constexpr ProblemKind kIndexWrong = {
    "index_wrong", "rewrite the index from the shards' headers, or export again"};
inline constexpr ProblemKind kTwoDescriptions = {
    "two_descriptions", "remove hf_quant_config.json: only one description may be in a folder"};
inline constexpr ProblemKind kBlockScaleInvalid = {
    "block_scale_invalid", "quantize again; loaders take such scales without a warning"};
inline constexpr ProblemKind kTensorScaleInvalid = {
    "tensor_scale_invalid",
    "quantize again; a scale that is far too large was usually stored inverted"};
inline constexpr ProblemKind kWeightNotFinite = {
    "weight_not_finite", "quantize again; the file is damaged or its tool wrote NaN codes"};
inline constexpr ProblemKind kCacheScaleInvalid = {
    "cache_scale_invalid",
    "calibrate the FP8 cache, or remove its scales and kv_cache_scheme from the description"};
inline constexpr ProblemKind kSiblingsDiffer = {
    "siblings_differ",
    "quantize again with one tensor scale for the group: engines fuse its members and use one"};
inline constexpr ProblemKind kTensorMissing = {"tensor_missing", kExportAgain};
inline constexpr ProblemKind kTensorSurplus = {
    "tensor_surplus", "remove the tensor or verify against the source it came from"};
inline constexpr ProblemKind kShapeDiffers = {"shape_differs", kExportAgain};
inline constexpr ProblemKind kTypeDiffers = {
    "type_differs", "export again without converting tensors that are kept"};
inline constexpr ProblemKind kBytesDiffer = {"bytes_differ",
                                             "copy the tensor from the source, or export again"};
inline constexpr ProblemKind kCodesNotNearest = {"codes_not_nearest", kExportAgain};
inline constexpr ProblemKind kZeroSignsMixed = {"zero_signs_mixed", kExportAgain};
inline constexpr ProblemKind kBlockLost = {"block_lost", kExportAgain};
inline constexpr ProblemKind kBlockScaleUnexpected = {"block_scale_unexpected", kExportAgain};
inline constexpr ProblemKind kErrorTooLarge = {"error_too_large", kExportAgain};
inline constexpr ProblemKind kNotFiniteSource = {
    "source_not_finite", "the source is damaged: download or export it again"};
inline constexpr ProblemKind kConfigFieldChanged = {"config_field_changed",
                                                    "restore the field from the source"};
inline constexpr ProblemKind kFileMissing = {"file_missing", "copy the file from the source"};
inline constexpr ProblemKind kFileDiffers = {"file_differs", "copy the file from the source"};

inline VerifyProblem problem(const ProblemKind& kind, std::string subject, std::string message) {
  return {std::string(kind.code), std::move(subject), std::move(message), std::string(kind.fix)};
}

}  // namespace nibble
