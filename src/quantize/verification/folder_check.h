// Checks of an export's folder: config.json, index, and the files beside the weights.
#pragma once

#include <string>
#include <vector>

#include "core/json.h"
#include "quantize/verify.h"

namespace nibble {

/// Every field of the source's config must be in the export's, with the same value; only the
/// description of quantization may differ.
void check_config(const Json& source, const Json& config, std::vector<VerifyProblem>& problems);

/// The index lists exactly what is stored, and the folder has one description of quantization.
void check_index(const std::string& folder, const std::string& dialect,
                 std::vector<VerifyProblem>& problems);

/// Compares the files that an export carries over. Counts the equal ones.
/// Errors: those of carried_files, kIo (a file of the source cannot be read).
Result<size_t> check_files(const std::string& source, const std::string& folder,
                           std::vector<VerifyProblem>& problems);

}  // namespace nibble
