// The `quantization_config` of compressed-tensors: checking one, making one.
#pragma once

#include <string>

#include "checkpoint/dialects/dialect.h"
#include "core/json.h"
#include "core/result.h"

namespace nibble {

/// Accepts descriptions whose weights are all NVFP4. Errors: kUnsupported, saying which number
/// format or transform was found; kCorrupt.
///   subject  the folder, for errors
Status check_compressed_tensors_description(const Json& description, const std::string& subject);

/// Describes an output: W4A4 where there are input scales, otherwise W4A16, and the modules that
/// are not quantized as `ignore`.
Json compressed_tensors_description(const OutputSummary& summary);

/// The `ignore` list: patterns that match every module that is not quantized and no other.
Json compressed_tensors_ignore(const OutputSummary& summary);

}  // namespace nibble
