// What is said and kept when work on an output was cut short.
#pragma once

#include <string_view>

#include "checkpoint/writer.h"
#include "core/result.h"

namespace nibble {

/// Leaves the unfinished output in place and adds to the error where it is and what becomes of it.
/// (A full disk does the same, told by the writer.)
Error keep_interrupted(const Error& error, std::string_view dialect, CheckpointWriter& writer);

}  // namespace nibble
