// What a run leaves in journal and manifest: the command that fixes its bytes, and what it found
// out about each matrix.
#pragma once

#include <optional>

#include "core/json.h"
#include "quantize/quantize.h"

namespace nibble {

/// Every choice that could change a byte of the output, and the program's version; nothing that
/// depends on the machine, the number of threads or where files lie.
Json command_json(const QuantizeJob& job, const Plan& plan, const ActivationRanges& ranges);

/// The error of a matrix as a journal keeps it, and back. Name, role, shape and target are the
/// plan's. Nothing where the record holds none.
Json error_record(const TensorError& error);
std::optional<TensorError> error_from_record(const Json& record, const PlanRow& row);

}  // namespace nibble
