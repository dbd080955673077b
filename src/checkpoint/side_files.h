// The small files of a checkpoint whose weights are not opened.
#pragma once

#include <string>
#include <string_view>

#include "core/result.h"

namespace nibble {

/// Whether Checkpoint::open will read `path` as GGUF: such a file, or a folder that holds one model
/// in GGUF files and no safetensors. False where nothing is there. Errors: kInvalidArgument (a
/// folder with several models), kIo.
Result<bool> is_gguf_model(const std::string& path);

/// As Checkpoint::side_file, for a folder or a GGUF file. Of a GGUF file only the header is read.
/// Errors also: those of parse_gguf_header.
Result<std::string> read_side_file(const std::string& path, std::string_view name);

}  // namespace nibble
