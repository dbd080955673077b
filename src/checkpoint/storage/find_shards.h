// Which files of a folder hold its tensors.
#pragma once

#include <string>
#include <vector>

#include "core/result.h"
#include "formats/safetensors.h"

namespace nibble {

/// More shards than real models have, and no more than the mapped-file protection covers.
inline constexpr size_t kMaxShards = 4096;

/// What an index says.
struct ShardIndex {
  std::vector<std::string> shards;                             ///< file names, sorted
  std::vector<std::pair<std::string, std::string>> placement;  ///< tensor, shard; empty without one
};

/// Finds the shards as StoredFolder describes. Errors: as open_stored_folder.
Result<ShardIndex> find_shards(const std::string& folder);

}  // namespace nibble
