#include "checkpoint/storage/stored_folder.h"

#include <fmt/format.h>

#include <filesystem>
#include <unordered_map>
#include <utility>

#include "checkpoint/storage/find_shards.h"
#include "checkpoint/storage/problem_list.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSectionName = "quantization_config";

Status check_is_folder(const std::string& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (status.type() == fs::file_type::not_found) {
    return Error(ErrorCode::kNotFound, "does not exist; a local checkpoint folder was expected",
                 path);
  }
  if (status.type() != fs::file_type::directory) {
    return Error(ErrorCode::kInvalidArgument,
                 "is a file; give the checkpoint folder that holds config.json, or a GGUF file",
                 path);
  }
  return {};
}

// A config describes its quantization at top level or, in some wrappers, beside the text fields.
const Json* find_section(const Json& config) {
  const auto text = config.find("text_config");
  for (const Json* level : {&config, text != config.end() ? &*text : nullptr}) {
    if (level == nullptr || !level->is_object()) continue;
    for (const std::string_view name : {kSectionName, std::string_view("compression_config")}) {
      const auto section = level->find(name);
      if (section != level->end() && !section->is_null()) return &*section;
    }
  }
  return nullptr;
}

Status read_description(StoredFolder& folder) {
  const std::string config_path = folder.path + "/config.json";
  ASSIGN_OR_RETURN(folder.config, read_json_file(config_path));
  if (!folder.config.is_object()) {
    return Error(ErrorCode::kCorrupt, "is not a JSON object", config_path);
  }
  if (const Json* section = find_section(folder.config)) {
    if (!section->is_object()) {
      return Error(ErrorCode::kCorrupt, "its quantization_config is not an object", config_path);
    }
    folder.place = DescriptionPlace::kConfig;
    folder.description = *section;
    return {};
  }
  const std::string path = folder.path + "/hf_quant_config.json";
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return {};
  ASSIGN_OR_RETURN(folder.description, read_json_file(path));
  if (!folder.description.is_object()) {
    return Error(ErrorCode::kCorrupt, "is not a JSON object", path);
  }
  folder.place = DescriptionPlace::kHfQuantConfig;
  return {};
}

Status check_shards_exist(const std::string& folder, const ShardIndex& index) {
  ProblemList missing;
  for (const std::string& name : index.shards) {
    std::error_code ignored;
    if (!fs::exists(fs::path(folder) / name, ignored)) missing.add(name);
  }
  if (missing.empty()) return {};
  return Error(ErrorCode::kNotFound,
               fmt::format("lacks {} of its {} shards: {}; download them again", missing.size(),
                           index.shards.size(), missing.text()),
               folder);
}

// Every tensor stands in one shard only, and the index tells the truth.
Status check_placement(const StoredFolder& folder, const ShardIndex& index) {
  std::unordered_map<std::string_view, const Shard*> places;
  for (const Shard& shard : folder.shards) {
    for (const SafetensorsEntry& entry : shard.file.header().entries) {
      const auto [at, is_new] = places.emplace(entry.name, &shard);
      if (is_new) continue;
      return Error(ErrorCode::kCorrupt,
                   fmt::format("holds the tensor \"{}\" in two shards, {} and {}", entry.name,
                               at->second->name, shard.name),
                   folder.path);
    }
  }
  ProblemList missing;
  for (const auto& [tensor, shard] : index.placement) {
    const auto at = places.find(tensor);
    if (at == places.end() || at->second->name != shard) {
      missing.add(fmt::format("{} (in {})", tensor, shard));
    }
  }
  if (missing.empty()) return {};
  return Error(ErrorCode::kCorrupt,
               fmt::format("the index names {} tensors that are not where it says: {}",
                           missing.size(), missing.text()),
               folder.path);
}

}  // namespace

Result<StoredFolder> open_stored_folder(const std::string& path) {
  RETURN_IF_ERROR(check_is_folder(path));
  StoredFolder folder;
  folder.path = path;
  ASSIGN_OR_RETURN(const ShardIndex index, find_shards(path));
  RETURN_IF_ERROR(check_shards_exist(path, index));
  RETURN_IF_ERROR(read_description(folder));
  for (const std::string& name : index.shards) {
    ASSIGN_OR_RETURN(SafetensorsFile file, SafetensorsFile::open((fs::path(path) / name).string()));
    folder.shards.push_back(Shard{name, std::move(file)});
  }
  RETURN_IF_ERROR(check_placement(folder, index));
  return folder;
}

}  // namespace nibble
