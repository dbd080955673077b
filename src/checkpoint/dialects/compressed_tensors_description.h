// The `quantization_config` of compressed-tensors: making one.
#pragma once

#include <string>

#include "checkpoint/dialects/dialect.h"
#include "core/json.h"

namespace nibble {

/// Describes an output: one group for each way in which modules are quantized, and the modules that
/// are not as `ignore`.
Json compressed_tensors_description(const OutputSummary& summary);

/// The `ignore` list: patterns that match every module that is not quantized and no other.
Json compressed_tensors_ignore(const OutputSummary& summary);

/// The `targets` of one group: the class of linear layers where there is no other group, otherwise
/// patterns that match the modules that are stored so and no other quantized ones.
Json compressed_tensors_targets(const OutputSummary& summary, StoredAs stored);

}  // namespace nibble
