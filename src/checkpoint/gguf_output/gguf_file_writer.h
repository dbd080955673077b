// Writes a checkpoint as one GGUF file that llama.cpp and its relatives load.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "checkpoint/writer.h"
#include "core/result.h"

namespace nibble {

/// As CheckpointWriter::create, for the dialect "gguf": `destination` is a file. The writer's
/// plan() lacks what GGUF has no place for. Codes and scales of NVFP4 are repacked, never rounded;
/// value heads are tiled, norms and A_log changed as readers expect.
Result<std::unique_ptr<CheckpointWriter>> create_gguf_writer(
    std::shared_ptr<const Checkpoint> source, const std::vector<PlannedTensor>& plan,
    const std::string& destination, const WriterOptions& options);

}  // namespace nibble
