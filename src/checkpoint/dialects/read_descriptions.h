// What descriptions of quantization may say for nibble to read the folder. The tensors themselves
// tell how each matrix is stored; the description must not contradict that with another arithmetic.
#pragma once

#include <string>

#include "core/json.h"
#include "core/result.h"

namespace nibble {

/// Accepts weights in NVFP4 and in FP8 with one scale or one per row, in any groups.
/// Errors: kUnsupported, saying which number format or transform was found; kCorrupt.
///   subject  the folder, for errors
Status check_compressed_tensors_description(const Json& description, const std::string& subject);

/// Accepts NVFP4, W4A16_NVFP4, FP8, FP8_PER_CHANNEL_PER_TOKEN, and MIXED_PRECISION of these, with
/// blocks of 16. Errors: kUnsupported, naming the algorithm; kCorrupt.
Status check_modelopt_description(const Json& description, const std::string& subject);

/// Accepts AutoRound's own export where it packs as llm-compressor does: NVFP4 with blocks of 16.
/// Errors: kUnsupported, naming packing and number format.
Status check_auto_round_description(const Json& description, const std::string& subject);

/// The object of a ModelOpt description that holds quant_algo: some files wrap it in
/// "quantization".
const Json& modelopt_algorithm_object(const Json& description);

}  // namespace nibble
