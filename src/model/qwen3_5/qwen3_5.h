// The Qwen3.5 family, dense or with experts, text: Gated DeltaNet layers with a full-attention
// layer in between.
#pragma once

#include <memory>

#include "model/model.h"

namespace nibble::qwen3_5 {

/// Loads the weights and sizes the scratch memory. The tensors have been checked against the table.
/// Errors: kUnsupported (a kind of matrix that the backend refuses), kNotFinite, kOutOfMemory, kIo.
Result<std::unique_ptr<Model>> load(std::shared_ptr<const Checkpoint> checkpoint,
                                    ModelConfig config, Backend& backend,
                                    const ModelOptions& options, const ProgressSink& progress);

}  // namespace nibble::qwen3_5
