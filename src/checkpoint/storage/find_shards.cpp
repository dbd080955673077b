#include "checkpoint/storage/find_shards.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <iterator>
#include <set>
#include <utility>

#include "checkpoint/storage/stored_folder.h"
#include "core/file.h"
#include "core/json.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxIndexBytes = uint64_t{256} << 20;
constexpr std::string_view kExtension = ".safetensors";

// A shard is a plain file of the folder: an index must not lead anywhere else.
bool is_plain_name(std::string_view name) {
  return name.size() > kExtension.size() && name.ends_with(kExtension) &&
         name.find('/') == std::string_view::npos && name.find('\0') == std::string_view::npos;
}

Status check_count(size_t n, const std::string& subject) {
  if (n <= kMaxShards) return {};
  return Error(ErrorCode::kLimit,
               fmt::format("names {} shards, at most {} are supported", n, kMaxShards), subject);
}

Result<ShardIndex> read_index(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, read_file(path, kMaxIndexBytes));
  ASSIGN_OR_RETURN(
      const SortedJson json,
      parse_sorted_json(text, path, JsonLimits{.max_depth = 16, .reject_duplicate_keys = true}));
  const auto map = json.is_object() ? json.find("weight_map") : json.end();
  if (!json.is_object() || map == json.end() || !map->is_object() || map->empty()) {
    return Error(ErrorCode::kCorrupt,
                 "has no object \"weight_map\" that says which shard holds each tensor", path);
  }
  ShardIndex index;
  std::set<std::string> shards;
  for (const auto& [tensor, shard] : map->items()) {
    if (!shard.is_string() || !is_plain_name(shard.get_ref<const std::string&>())) {
      return Error(ErrorCode::kCorrupt,
                   fmt::format("places tensor \"{:.200}\" in {:.200}, which is not the name of a "
                               "*.safetensors file of this folder",
                               tensor, dump_json_line(Json(shard))),
                   path);
    }
    shards.insert(shard.get<std::string>());
    index.placement.emplace_back(tensor, shard.get<std::string>());
  }
  index.shards.assign(shards.begin(), shards.end());
  RETURN_IF_ERROR(check_count(index.shards.size(), path));
  return index;
}

// The n of "model-00002-of-0000n.safetensors", or 0.
size_t announced_count(std::string_view name) {
  name.remove_suffix(kExtension.size());
  const size_t at = name.rfind("-of-");
  if (at == std::string_view::npos) return 0;
  size_t n = 0;
  const char* end = name.data() + name.size();
  const auto parsed = std::from_chars(name.data() + at + 4, end, n);
  return parsed.ec == std::errc() && parsed.ptr == end ? n : 0;
}

Result<std::vector<std::string>> sorted_names(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    names.push_back(at->path().filename().string());
  }
  if (error) return system_error(error.value(), "cannot list the folder", folder);
  std::sort(names.begin(), names.end());
  return names;
}

// Says what else is there, for folders of other containers.
Error no_shards(const std::string& folder, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    if (name.ends_with(".bin") || name.ends_with(".pt") || name.ends_with(".pth")) {
      return Error(ErrorCode::kUnsupported,
                   fmt::format("has no *.safetensors file, only {} (a PyTorch pickle), which "
                               "nibble does not read; use the safetensors version of the model",
                               name),
                   folder);
    }
  }
  return Error(ErrorCode::kNotFound,
               "has no *.safetensors file; a checkpoint folder holds config.json, "
               "model.safetensors (or shards with an index) and the tokenizer's files",
               folder);
}

Result<ShardIndex> list_folder(const std::string& folder) {
  ASSIGN_OR_RETURN(const std::vector<std::string> names, sorted_names(folder));
  ShardIndex index;
  std::copy_if(names.begin(), names.end(), std::back_inserter(index.shards), is_plain_name);
  if (index.shards.empty()) return no_shards(folder, names);
  RETURN_IF_ERROR(check_count(index.shards.size(), folder));
  const size_t announced = announced_count(index.shards.front());
  if (announced > index.shards.size()) {
    return Error(ErrorCode::kNotFound,
                 fmt::format("has {} shards, but {} is one of {}; download the missing ones",
                             index.shards.size(), index.shards.front(), announced),
                 folder);
  }
  return index;
}

}  // namespace

Result<ShardIndex> find_shards(const std::string& folder) {
  const fs::path root(folder);
  std::error_code ignored;
  if (fs::exists(root / kIndexFileName, ignored)) {
    return read_index((root / kIndexFileName).string());
  }
  if (fs::exists(root / "model.safetensors", ignored)) {
    return ShardIndex{{"model.safetensors"}, {}};
  }
  return list_folder(folder);
}

}  // namespace nibble
