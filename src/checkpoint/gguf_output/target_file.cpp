#include "checkpoint/gguf_output/target_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "core/bytes.h"
#include "core/file.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kEnding = ".gguf";
constexpr std::string_view kMagic = "GGUF";

// Absolute and without links, also for paths that do not exist yet.
Result<fs::path> resolve_file(const std::string& path) {
  std::error_code error;
  fs::path resolved = fs::weakly_canonical(fs::absolute(path, error), error);
  if (path.empty() || error || !resolved.has_filename()) {
    return Error(ErrorCode::kInvalidArgument, "is not a usable path for the output file", path);
  }
  return resolved;
}

// Whether an opened file is empty or begins as GGUF files do.
bool is_gguf_or_empty(int descriptor) {
  std::array<char, kMagic.size()> begin{};
  const ssize_t n = ::pread(descriptor, begin.data(), begin.size(), 0);
  return n == 0 || (n == static_cast<ssize_t>(begin.size()) &&
                    std::memcmp(begin.data(), kMagic.data(), kMagic.size()) == 0);
}

Status check_existing_file(const fs::path& target, bool replace) {
  std::error_code ignored;
  const fs::file_status status = fs::symlink_status(target, ignored);
  if (!fs::exists(status)) return {};
  if (!fs::is_regular_file(status)) {
    return Error(ErrorCode::kAlreadyExists, "exists and is not a file; choose another name",
                 target.string());
  }
  if (!replace) {
    return Error(ErrorCode::kAlreadyExists,
                 "the output file exists; choose another name, or replace it with --force",
                 target.string());
  }
  const int descriptor = ::open(target.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return system_error(errno, "cannot open for reading", target.string());
  const bool replaceable = is_gguf_or_empty(descriptor);
  ::close(descriptor);
  if (replaceable) return {};
  return Error(ErrorCode::kAlreadyExists,
               "exists and is not a GGUF file, so it is not replaced; remove it or choose another "
               "name",
               target.string());
}

Status check_room(const fs::path& folder, uint64_t needed_bytes) {
  std::error_code error;
  if (!fs::is_directory(folder, error)) {
    return Error(ErrorCode::kNotFound,
                 "does not exist, but should hold the output file; create it first",
                 folder.string());
  }
  if (::access(folder.c_str(), W_OK | X_OK) != 0) {
    return system_error(errno, "cannot create the output file in it", folder.string());
  }
  const fs::space_info space = fs::space(folder, error);
  if (error || space.available >= needed_bytes) return {};
  return Error(ErrorCode::kNoSpace,
               fmt::format("the output needs {}, only {} are free there; free some space or write "
                           "to another disk",
                           human_bytes(needed_bytes), human_bytes(space.available)),
               folder.string());
}

Result<int> open_partial(const std::string& partial) {
  std::error_code ignored;
  const fs::file_status status = fs::symlink_status(partial, ignored);
  const Error not_ours(ErrorCode::kAlreadyExists,
                       "is needed for the unfinished output, but exists and was not left by an "
                       "earlier run; rename or remove it",
                       partial);
  if (fs::exists(status) && !fs::is_regular_file(status)) return not_ours;
  const int descriptor = ::open(partial.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
  if (descriptor < 0) return system_error(errno, "cannot open for writing", partial);
  if (::flock(descriptor, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    ::close(descriptor);
    return Error(ErrorCode::kAlreadyExists, "another run is writing this file; wait for it",
                 partial);
  }
  if (is_gguf_or_empty(descriptor)) return descriptor;
  ::close(descriptor);
  return not_ours;
}

}  // namespace

Result<TargetFile> TargetFile::create(const std::string& source, const std::string& destination,
                                      bool replace, uint64_t needed_bytes) {
  if (!destination.ends_with(kEnding)) {
    return Error(ErrorCode::kInvalidArgument,
                 "a GGUF output is one file; give it a name that ends in .gguf", destination);
  }
  ASSIGN_OR_RETURN(const fs::path from, resolve_file(source));
  ASSIGN_OR_RETURN(const fs::path target, resolve_file(destination));
  const std::string partial = target.string() + ".partial";
  if (from == target || from == fs::path(partial)) {
    return Error(ErrorCode::kInvalidArgument,
                 "the output file is the source itself; give another one", destination);
  }
  RETURN_IF_ERROR(check_existing_file(target, replace));
  RETURN_IF_ERROR(check_room(target.parent_path(), 0));
  ASSIGN_OR_RETURN(const int lock, open_partial(partial));
  TargetFile file(target.string(), partial, lock);
  // What an earlier run left is overwritten and counts as free.
  std::error_code ignored;
  const uint64_t taken = fs::file_size(partial, ignored);
  const uint64_t reusable = ignored ? 0 : std::min(taken, needed_bytes);
  RETURN_IF_ERROR(check_room(target.parent_path(), needed_bytes - reusable));
  return file;
}

TargetFile::TargetFile(TargetFile&& other) noexcept
    : destination_(std::move(other.destination_)),
      partial_(std::move(other.partial_)),
      lock_(std::exchange(other.lock_, -1)),
      keep_(other.keep_) {}

TargetFile::~TargetFile() {
  if (lock_ < 0) return;
  if (!keep_) ::unlink(partial_.c_str());
  ::close(lock_);
}

Status TargetFile::commit() {
  CHECK(lock_ >= 0);
  if (::rename(partial_.c_str(), destination_.c_str()) != 0) {
    return system_error(errno, "cannot give the finished output this name", destination_);
  }
  ::close(std::exchange(lock_, -1));
  return sync_folder(fs::path(destination_).parent_path().string());
}

}  // namespace nibble
