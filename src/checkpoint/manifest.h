// The manifest of an output: what its tensors hashed to when they were written.
#pragma once

#include <string>
#include <vector>

#include "core/result.h"

namespace nibble {

/// A stored tensor that is not what the manifest says.
struct ManifestDifference {
  std::string tensor;   ///< as stored
  std::string message;  ///< what was found and what was expected
};

/// Hashes every tensor that the folder's nibble-manifest.json lists and compares. Empty: all agree.
/// Cost: one pass over the weights. Errors: kNotFound (there is no manifest), kCorrupt (it cannot
/// be read), kUnsupported (another hash), kCancelled, those of SafetensorsFile::open.
Result<std::vector<ManifestDifference>> compare_with_manifest(const std::string& folder);

}  // namespace nibble
