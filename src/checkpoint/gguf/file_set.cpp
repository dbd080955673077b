#include "checkpoint/gguf/file_set.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "checkpoint/gguf/metadata.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

// No more than mapped files can be watched over, and more than any split model has.
constexpr uint64_t kMaxParts = 1024;

bool has_gguf_name(const std::string& name) {
  return name.ends_with(".gguf") || name.ends_with(".GGUF");
}

bool starts_like_gguf(const std::string& path) {
  char magic[4] = {};
  std::ifstream file(path, std::ios::binary);
  return file.read(magic, sizeof(magic)) && std::memcmp(magic, "GGUF", sizeof(magic)) == 0;
}

// "-00002-of-00003.gguf", as the splitting tools write it; `part` counts from 1.
std::string part_ending(uint64_t part, uint64_t n_parts) {
  return fmt::format("-{:05}-of-{:05}.gguf", part, n_parts);
}

// True for all but the first part, by their names.
bool is_later_part(const std::string& name) {
  constexpr std::string_view kShape = "-00001-of-00001.gguf";
  if (name.size() < kShape.size()) return false;
  const std::string ending = name.substr(name.size() - kShape.size());
  if (ending.compare(6, 4, "-of-") != 0 || ending[0] != '-') return false;
  return ending.compare(1, 5, "00001") != 0;
}

struct FolderNames {
  std::vector<std::string> models;
  bool has_safetensors = false;
};

Result<FolderNames> list_folder(const std::string& folder) {
  FolderNames found;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    const std::string name = at->path().filename().string();
    found.has_safetensors |= name.ends_with(".safetensors");
    found.has_safetensors |= name.ends_with(".safetensors.index.json");
    if (has_gguf_name(name) && !name.starts_with("mmproj") && !is_later_part(name)) {
      found.models.push_back(name);
    }
  }
  if (error) {
    return Error(ErrorCode::kIo, fmt::format("cannot list the folder: {}", error.message()),
                 folder);
  }
  std::sort(found.models.begin(), found.models.end());
  return found;
}

// What a part says about the whole.
struct SplitFacts {
  uint64_t part = 0;  // from 0
  uint64_t n_parts = 1;
  uint64_t n_tensors = 0;  // of all parts
};

Result<SplitFacts> read_split_facts(const GgufFile& file) {
  const GgufMetadata metadata(file.header(), file.file().path());
  SplitFacts facts;
  ASSIGN_OR_RETURN(const auto n_parts, metadata.find_count("split.count"));
  if (!n_parts || *n_parts <= 1) return facts;
  facts.n_parts = *n_parts;
  ASSIGN_OR_RETURN(facts.part, metadata.count("split.no"));
  ASSIGN_OR_RETURN(facts.n_tensors, metadata.count("split.tensors.count"));
  if (facts.n_parts > kMaxParts || facts.part >= facts.n_parts) {
    return metadata.corrupt(fmt::format("is part {} of {}; expected at most {} parts",
                                        facts.part + 1, facts.n_parts, kMaxParts));
  }
  return facts;
}

// The path without the ending that numbers the part.
Result<std::string> split_stem(const std::string& path, const SplitFacts& facts) {
  const std::string ending = part_ending(facts.part + 1, facts.n_parts);
  if (path.ends_with(ending)) return path.substr(0, path.size() - ending.size());
  return Error(ErrorCode::kInvalidArgument,
               fmt::format("is part {} of a model split into {} files, whose name should end in "
                           "\"{}\"; give it that name back",
                           facts.part + 1, facts.n_parts, ending),
               path);
}

Status check_part(const GgufFile& file, const SplitFacts& found, const SplitFacts& first,
                  uint64_t part) {
  if (found.n_parts == first.n_parts && found.part == part && found.n_tensors == first.n_tensors) {
    return {};
  }
  return Error(ErrorCode::kCorrupt,
               fmt::format("says that it is part {} of {} with {} tensors altogether; expected "
                           "part {} of {} with {}",
                           found.part + 1, found.n_parts, found.n_tensors, part + 1, first.n_parts,
                           first.n_tensors),
               file.file().path());
}

}  // namespace

Result<std::optional<std::string>> find_gguf_file(const std::string& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (fs::is_directory(status)) {
    ASSIGN_OR_RETURN(const FolderNames found, list_folder(path));
    if (found.has_safetensors || found.models.empty()) return std::optional<std::string>();
    if (found.models.size() == 1) {
      return std::optional<std::string>((fs::path(path) / found.models.front()).string());
    }
    return Error(ErrorCode::kInvalidArgument,
                 fmt::format("holds {} models as GGUF files ({}); give one of the files",
                             found.models.size(), fmt::join(found.models, ", ")),
                 path);
  }
  if (fs::is_regular_file(status) && (has_gguf_name(path) || starts_like_gguf(path))) {
    return std::optional<std::string>(path);
  }
  return std::optional<std::string>();
}

Result<GgufFileSet> open_gguf_files(const std::string& path) {
  GgufFileSet set;
  ASSIGN_OR_RETURN(GgufFile first_file, GgufFile::open(path));
  ASSIGN_OR_RETURN(const SplitFacts first, read_split_facts(first_file));
  set.files.push_back(std::move(first_file));
  if (first.n_parts == 1) return set;
  ASSIGN_OR_RETURN(const std::string stem, split_stem(path, first));
  if (first.part != 0) {
    return Error(ErrorCode::kInvalidArgument,
                 fmt::format("is part {} of a model split into {} files; give the first one, {}",
                             first.part + 1, first.n_parts, stem + part_ending(1, first.n_parts)),
                 path);
  }
  uint64_t n_tensors = set.files.front().header().tensors.size();
  set.files.reserve(first.n_parts);
  for (uint64_t part = 1; part < first.n_parts; ++part) {
    ASSIGN_OR_RETURN(GgufFile file, GgufFile::open(stem + part_ending(part + 1, first.n_parts)));
    ASSIGN_OR_RETURN(const SplitFacts found, read_split_facts(file));
    RETURN_IF_ERROR(check_part(file, found, first, part));
    n_tensors += file.header().tensors.size();
    set.files.push_back(std::move(file));
  }
  if (n_tensors == first.n_tensors) return set;
  return Error(ErrorCode::kCorrupt,
               fmt::format("announces {} tensors in {} files, which hold {}", first.n_tensors,
                           first.n_parts, n_tensors),
               path);
}

}  // namespace nibble
