// Which GGUF files make up a model: one, or the parts of a split one.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/result.h"
#include "formats/gguf.h"

namespace nibble {

/// The GGUF file that `path` means: itself where it is such a file (by its first bytes, or by its
/// name), the only model among a folder's GGUF files where the folder has no safetensors (vision
/// towers, "mmproj*", do not count; of a split model the first part). Nothing where `path` is
/// something else, or nothing is there. Errors: kInvalidArgument (a folder with several models),
/// kIo.
Result<std::optional<std::string>> find_gguf_file(const std::string& path);

/// The opened parts of a model, the one with the metadata first.
struct GgufFileSet {
  std::vector<GgufFile> files;  ///< at least one
};

/// Opens a file and, where it is the first part of a split model, the others beside it.
/// Errors: kNotFound (a part is missing), kInvalidArgument (a later part was given), kCorrupt
/// (parts that do not fit together), those of GgufFile::open.
Result<GgufFileSet> open_gguf_files(const std::string& path);

}  // namespace nibble
