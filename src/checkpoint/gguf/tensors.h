// The tensors of GGUF files in the canonical view.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "checkpoint/gguf/model_sizes.h"
#include "core/result.h"
#include "formats/gguf.h"

namespace nibble {

/// One tensor of the canonical view.
struct GgufCanonicalTensor {
  TensorInfo info;
  MatrixSource source;               ///< borrows from the file, or from `values`
  std::unique_ptr<float[]> values;   ///< of small tensors whose stored values differ
  std::span<const std::byte> bytes;  ///< in the file
  size_t file = 0;                   ///< which of the files
};

/// All tensors of a model's files, in the order of files and offsets. What a file keeps in one
/// tensor and the canonical view in several (experts; query, key and value; gate and up) is cut by
/// rows. Names that the family does not have stay as they are. Values of norms and A_log are given
/// back as canonical ones; value heads stay in the file's order.
///   files  borrowed by the result; at least one
/// Errors: kCorrupt (all bad tensors in one message).
Result<std::vector<GgufCanonicalTensor>> read_gguf_tensors(std::span<const GgufFile> files,
                                                           const GgufModelSizes& sizes);

}  // namespace nibble
