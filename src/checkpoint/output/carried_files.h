// The files of a source folder that an output takes over byte for byte.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/result.h"

namespace nibble {

struct CarriedFiles {
  std::vector<std::string> folders;  ///< relative, parents first
  std::vector<std::string> files;    ///< relative
  uint64_t n_bytes = 0;
};

/// Everything but: config.json and quantization descriptions (written anew), weights at top level
/// (*.safetensors, their indices, and the same weights as *.bin, *.pt, *.pth, *.gguf and the like),
/// .git and .cache, and what is not a regular file. Symbolic links are followed.
/// Errors: kIo, kPermission, kLimit (folders that contain themselves through links).
Result<CarriedFiles> list_carried_files(const std::string& source);

/// Copies them. Errors: those of copy_file_bytes.
Status copy_carried_files(const CarriedFiles& carried, const std::string& source,
                          const std::string& target);

}  // namespace nibble
