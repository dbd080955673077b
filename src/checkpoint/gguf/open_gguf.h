// Opens GGUF files as checkpoints.
#pragma once

#include <string>

#include "checkpoint/storage/tensor_store.h"
#include "core/result.h"

namespace nibble {

/// The file, or the first part of a split model, in the canonical view; dialect "gguf".
/// Errors: those of open_gguf_files, read_gguf_model_sizes, gguf_config, read_gguf_tensors.
Result<OpenedCheckpoint> open_gguf(const std::string& path);

}  // namespace nibble
