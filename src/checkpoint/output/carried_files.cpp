#include "checkpoint/output/carried_files.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <string_view>

#include "checkpoint/writer.h"
#include "core/file.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

constexpr int kMaxDepth = 16;
constexpr size_t kMaxFiles = 100'000;

// Descriptions that the output states anew or must not have at all.
constexpr std::array<std::string_view, 4> kRewritten = {
    "config.json", "hf_quant_config.json", "quantization_config.json", kManifestFileName};
constexpr std::array<std::string_view, 6> kWeightEndings = {
    ".safetensors", ".safetensors.index.json", ".bin.index.json", ".pt", ".pth", ".gguf"};
// Names of the same weights in containers whose ending alone says too little.
constexpr std::array<std::string_view, 5> kWeightStems = {"pytorch_model", "model", "consolidated",
                                                          "tf_model", "flax_model"};

bool is_weight_file(std::string_view name) {
  for (const std::string_view ending : kWeightEndings) {
    if (name.ends_with(ending)) return true;
  }
  if (!name.ends_with(".bin") && !name.ends_with(".h5") && !name.ends_with(".msgpack"))
    return false;
  return std::any_of(kWeightStems.begin(), kWeightStems.end(),
                     [&](std::string_view stem) { return name.starts_with(stem); });
}

bool is_left_out(std::string_view name, bool at_top) {
  if (name == ".git" || name == ".cache") return true;
  if (!at_top) return false;
  return is_weight_file(name) ||
         std::find(kRewritten.begin(), kRewritten.end(), name) != kRewritten.end();
}

Status list_folder(const fs::path& root, const fs::path& relative, int depth,
                   CarriedFiles& carried) {
  if (depth > kMaxDepth) {
    return Error(ErrorCode::kLimit,
                 "holds folders nested too deeply to copy; does a link lead back into it?",
                 root.string());
  }
  std::error_code error;
  std::vector<fs::path> names;
  for (fs::directory_iterator at(root / relative, error), end; !error && at != end;
       at.increment(error)) {
    names.push_back(at->path().filename());
  }
  if (error) {
    return system_error(error.value(), "cannot list the folder", (root / relative).string());
  }
  std::sort(names.begin(), names.end());
  for (const fs::path& name : names) {
    if (is_left_out(name.string(), depth == 0)) continue;
    const fs::path path = relative / name;
    const fs::file_status status = fs::status(root / path, error);
    if (fs::is_directory(status)) {
      carried.folders.push_back(path.string());
      RETURN_IF_ERROR(list_folder(root, path, depth + 1, carried));
    } else if (fs::is_regular_file(status)) {
      carried.files.push_back(path.string());
      const auto n_bytes = fs::file_size(root / path, error);
      carried.n_bytes += error ? 0 : n_bytes;
    }
    if (carried.files.size() > kMaxFiles) {
      return Error(ErrorCode::kLimit, "holds too many files to copy beside the weights",
                   root.string());
    }
  }
  return {};
}

}  // namespace

Result<CarriedFiles> list_carried_files(const std::string& source) {
  CarriedFiles carried;
  RETURN_IF_ERROR(list_folder(source, {}, 0, carried));
  return carried;
}

Status copy_carried_files(const CarriedFiles& carried, const std::string& source,
                          const std::string& target) {
  for (const std::string& folder : carried.folders) {
    const std::string path = (fs::path(target) / folder).string();
    if (::mkdir(path.c_str(), 0777) != 0) {
      return system_error(errno, "cannot create the folder", path);
    }
  }
  for (const std::string& file : carried.files) {
    RETURN_IF_ERROR(
        copy_file_bytes((fs::path(source) / file).string(), (fs::path(target) / file).string()));
  }
  return {};
}

}  // namespace nibble
