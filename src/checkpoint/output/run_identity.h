// What makes two runs the same: the command, the program, and the source as it is now.
#pragma once

#include "checkpoint/output/output_plan.h"
#include "checkpoint/writer.h"
#include "core/json.h"

namespace nibble {

/// The first record of a journal. Two runs whose identities are equal write the same bytes: it
/// holds the command, hashes of the source's config, tensor list and of the output's plan, and the
/// size and time of change of every file that holds weights.
Json run_identity(const Checkpoint& source, const OutputPlan& output, const WriterOptions& options);

}  // namespace nibble
