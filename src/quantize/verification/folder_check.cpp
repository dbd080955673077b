#include "quantize/verification/folder_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "checkpoint/folder_checks.h"
#include "core/mapped_file.h"
#include "quantize/verification/problem_kinds.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxShownBytes = 80;

bool describes_quantization(std::string_view field) {
  return field == "quantization_config" || field == "compression_config";
}

std::string shown(const Json& value) {
  std::string text = dump_json_line(value);
  if (text.size() > kMaxShownBytes) text = text.substr(0, kMaxShownBytes) + "...";
  return text;
}

void compare_fields(const Json& source, const Json& config, const std::string& prefix,
                    std::vector<VerifyProblem>& problems) {
  for (const auto& [name, value] : source.items()) {
    if (describes_quantization(name)) continue;
    const std::string path = prefix + name;
    const auto at = config.find(name);
    if (at == config.end()) {
      problems.push_back(
          problem(kConfigFieldChanged, "config.json",
                  fmt::format("the field {} is missing; the source has {}", path, shown(value))));
    } else if (value.is_object() && at->is_object()) {
      compare_fields(value, *at, path + ".", problems);
    } else if (*at != value) {
      problems.push_back(problem(
          kConfigFieldChanged, "config.json",
          fmt::format("the field {} is {}; the source has {}", path, shown(*at), shown(value))));
    }
  }
}

// Offset of the first byte that differs, or nothing; a shorter file differs where it ends.
std::optional<uint64_t> first_difference(std::span<const std::byte> a,
                                         std::span<const std::byte> b) {
  const auto at = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  if (at.first == a.end() && at.second == b.end()) return std::nullopt;
  return static_cast<uint64_t>(at.first - a.begin());
}

}  // namespace

void check_config(const Json& source, const Json& config, std::vector<VerifyProblem>& problems) {
  compare_fields(source, config, "", problems);
}

void check_index(const std::string& folder, const std::string& dialect,
                 std::vector<VerifyProblem>& problems) {
  const Result<std::vector<std::string>> found = index_problems(folder);
  if (!found) {
    problems.push_back(problem(kIndexWrong, found.error().subject, found.error().message));
  } else {
    for (const std::string& sentence : *found) {
      problems.push_back(problem(kIndexWrong, folder, sentence));
    }
  }
  std::error_code ignored;
  if (dialect == "compressed-tensors" &&
      fs::exists(fs::path(folder) / "hf_quant_config.json", ignored)) {
    problems.push_back(problem(
        kTwoDescriptions, "hf_quant_config.json",
        "config.json describes compressed-tensors, and this file describes another dialect"));
  }
}

Result<size_t> check_files(const std::string& source, const std::string& folder,
                           std::vector<VerifyProblem>& problems) {
  size_t n_identical = 0;
  ASSIGN_OR_RETURN(const std::vector<std::string> files, carried_files(source));
  for (const std::string& name : files) {
    ASSIGN_OR_RETURN(const MappedFile original,
                     MappedFile::open((fs::path(source) / name).string()));
    const Result<MappedFile> copy = MappedFile::open((fs::path(folder) / name).string());
    if (!copy) {
      problems.push_back(problem(kFileMissing, name, copy.error().message));
      continue;
    }
    if (const auto offset = first_difference(original.bytes(), copy->bytes())) {
      problems.push_back(
          problem(kFileDiffers, name,
                  fmt::format("differs from the source's at byte {} ({} bytes, the "
                              "source has {})",
                              *offset, copy->bytes().size(), original.bytes().size())));
    } else {
      ++n_identical;
    }
    RETURN_IF_ERROR(original.intact());
    RETURN_IF_ERROR(copy->intact());
  }
  return n_identical;
}

}  // namespace nibble
