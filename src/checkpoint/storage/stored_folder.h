// A checkpoint folder before anyone has said what its tensors mean: config, quantization
// description and shards.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/json.h"
#include "core/result.h"
#include "formats/safetensors.h"

namespace nibble {

inline constexpr std::string_view kIndexFileName = "model.safetensors.index.json";

/// Where a folder describes how it was quantized.
enum class DescriptionPlace : uint8_t {
  kNone,
  kConfig,         ///< `quantization_config` in config.json
  kHfQuantConfig,  ///< hf_quant_config.json
};

struct Shard {
  std::string name;  ///< file name inside the folder
  SafetensorsFile file;
};

struct StoredFolder {
  std::string path;
  Json config;
  DescriptionPlace place = DescriptionPlace::kNone;
  Json description;  ///< an object where there is one
  std::vector<Shard> shards;
};

/// One tensor of one shard.
struct StoredTensor {
  size_t shard = 0;
  const SafetensorsEntry* entry = nullptr;
};

/// Reads config.json and the description, finds the shards and opens them all.
///
/// Shards are those that model.safetensors.index.json names. Without an index they are
/// model.safetensors alone, or, where that does not exist, every *.safetensors file of the folder
/// in the order of names. Errors: kNotFound, kCorrupt, kUnsupported (other containers), kLimit,
/// kIo.
Result<StoredFolder> open_stored_folder(const std::string& path);

}  // namespace nibble
