// Checks on a whole checkpoint folder, for those who verify an export.
#pragma once

#include <string>
#include <vector>

#include "core/result.h"

namespace nibble {

/// The files that CheckpointWriter takes over from a source folder byte for byte, as sorted paths
/// relative to it. Errors: kIo, kPermission, kLimit.
Result<std::vector<std::string>> carried_files(const std::string& folder);

/// Whether the index, where the folder has one, lists exactly the stored tensors, and whether every
/// *.safetensors file of the folder is in use. Opening already refuses entries that point nowhere.
///   returns  one sentence a problem; empty where all is well
/// Cost: reads the headers again. Errors: those of Checkpoint::open.
Result<std::vector<std::string>> index_problems(const std::string& path);

}  // namespace nibble
