// The `quantization_config` of compressed-tensors: making one.
#pragma once

#include <string>

#include "checkpoint/dialects/dialect.h"
#include "core/json.h"

namespace nibble {

/// Describes an output: W4A4 where there are input scales, otherwise W4A16, and the modules that
/// are not quantized as `ignore`.
Json compressed_tensors_description(const OutputSummary& summary);

/// The `ignore` list: patterns that match every module that is not quantized and no other.
Json compressed_tensors_ignore(const OutputSummary& summary);

}  // namespace nibble
