#include "checkpoint/folder_checks.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "checkpoint/output/carried_files.h"
#include "checkpoint/storage/stored_folder.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> unused_shards(const StoredFolder& folder) {
  std::set<std::string> used;
  for (const Shard& shard : folder.shards) used.insert(shard.name);
  std::vector<std::string> problems;
  std::error_code error;
  for (fs::directory_iterator at(folder.path, error), end; !error && at != end;
       at.increment(error)) {
    const std::string name = at->path().filename().string();
    if (!name.ends_with(".safetensors") || used.count(name) != 0) continue;
    problems.push_back(fmt::format("{} is not part of the checkpoint", name));
  }
  if (error) problems.push_back(fmt::format("cannot list the folder: {}", error.message()));
  std::sort(problems.begin(), problems.end());
  return problems;
}

}  // namespace

Result<std::vector<std::string>> carried_files(const std::string& folder) {
  ASSIGN_OR_RETURN(CarriedFiles carried, list_carried_files(folder));
  std::sort(carried.files.begin(), carried.files.end());
  return std::move(carried.files);
}

Result<std::vector<std::string>> index_problems(const std::string& path) {
  ASSIGN_OR_RETURN(const StoredFolder folder, open_stored_folder(path));
  std::vector<std::string> problems = unused_shards(folder);
  const fs::path index_path = fs::path(path) / kIndexFileName;
  std::error_code ignored;
  if (!fs::exists(index_path, ignored)) {
    if (folder.shards.size() > 1) {
      problems.push_back(fmt::format("{} shards without {}", folder.shards.size(), kIndexFileName));
    }
    return problems;
  }
  ASSIGN_OR_RETURN(const Json index, read_json_file(index_path.string()));
  std::set<std::string> listed;
  if (const auto map = index.find("weight_map"); map != index.end() && map->is_object()) {
    for (const auto& [name, shard] : map->items()) listed.insert(name);
  }
  for (const Shard& shard : folder.shards) {
    for (const SafetensorsEntry& entry : shard.file.header().entries) {
      if (listed.count(entry.name) != 0) continue;
      problems.push_back(fmt::format("the index does not list {} ({})", entry.name, shard.name));
    }
  }
  return problems;
}

}  // namespace nibble
