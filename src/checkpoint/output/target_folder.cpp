#include "checkpoint/output/target_folder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <stdio.h>  // renameat2
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <utility>

#include "core/bytes.h"
#include "core/file.h"
#include "core/log.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

constexpr const char* kMarkerName = ".nibble-partial";

// Absolute, without links, dots or a final slash, also for paths that do not exist yet.
Result<fs::path> resolve(const std::string& path) {
  std::error_code error;
  fs::path resolved = fs::weakly_canonical(fs::absolute(path, error), error);
  if (path.empty() || error) {
    return Error(ErrorCode::kInvalidArgument, "is not a usable path for the output folder", path);
  }
  if (!resolved.has_filename()) resolved = resolved.parent_path();
  if (!resolved.has_filename()) {
    return Error(ErrorCode::kInvalidArgument, "cannot be an output folder", path);
  }
  return resolved;
}

bool is_inside(const fs::path& inner, const fs::path& outer) {
  const fs::path relative = inner.lexically_relative(outer);
  return !relative.empty() && relative != "." && *relative.begin() != "..";
}

Status check_apart(const fs::path& source, const fs::path& target, const std::string& shown) {
  if (source == target) {
    return Error(ErrorCode::kInvalidArgument,
                 "the output folder is the source folder itself; give another one", shown);
  }
  if (is_inside(target, source)) {
    return Error(ErrorCode::kInvalidArgument,
                 "the output folder lies inside the source folder; give one outside", shown);
  }
  if (is_inside(source, target)) {
    return Error(ErrorCode::kInvalidArgument,
                 "the source folder lies inside the output folder; give another one", shown);
  }
  return {};
}

Status check_existing(const fs::path& target, bool replace) {
  std::error_code ignored;
  const fs::file_status status = fs::symlink_status(target, ignored);
  if (!fs::exists(status)) return {};
  if (!fs::is_directory(status)) {
    return Error(ErrorCode::kAlreadyExists, "exists and is not a folder; choose another name",
                 target.string());
  }
  if (!replace) {
    return Error(ErrorCode::kAlreadyExists,
                 "the output folder exists; choose another name, or replace it with --force",
                 target.string());
  }
  // A mistyped name must not cost somebody their home folder.
  if (!fs::is_empty(target, ignored) && !fs::exists(target / "config.json", ignored)) {
    return Error(ErrorCode::kAlreadyExists,
                 "exists and is not a checkpoint folder (it has no config.json), so it is not "
                 "replaced; remove it or choose another name",
                 target.string());
  }
  return {};
}

Status check_parent(const fs::path& parent, uint64_t needed_bytes) {
  std::error_code error;
  if (!fs::is_directory(parent, error)) {
    return Error(ErrorCode::kNotFound,
                 "does not exist, but should hold the output folder; create it first",
                 parent.string());
  }
  if (::access(parent.c_str(), W_OK | X_OK) != 0) {
    return system_error(errno, "cannot create the output folder in it", parent.string());
  }
  const fs::space_info space = fs::space(parent, error);
  if (!error && space.available < needed_bytes) {
    return Error(ErrorCode::kNoSpace,
                 fmt::format("the output needs {}, only {} are free there; free some space or "
                             "write to another disk",
                             human_bytes(needed_bytes), human_bytes(space.available)),
                 parent.string());
  }
  return {};
}

// Locks the marker of a folder; the lock goes with the process.
Result<int> lock_marker(const fs::path& folder) {
  const std::string path = (folder / kMarkerName).string();
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor < 0) return system_error(errno, "cannot open for writing", path);
  if (::flock(descriptor, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    ::close(descriptor);
    return Error(ErrorCode::kAlreadyExists, "another run is writing this folder; wait for it",
                 folder.string());
  }
  return descriptor;
}

// Removes what a cut run left behind.
Status clear_leftover(const fs::path& partial) {
  std::error_code error;
  const fs::file_status status = fs::symlink_status(partial, error);
  if (!fs::exists(status)) return {};
  const bool ours = fs::is_directory(status) &&
                    (fs::exists(partial / kMarkerName, error) || fs::is_empty(partial, error));
  if (!ours) {
    return Error(ErrorCode::kAlreadyExists,
                 "is needed for the unfinished output, but exists and was not left by an earlier "
                 "run; rename or remove it",
                 partial.string());
  }
  ASSIGN_OR_RETURN(const int lock, lock_marker(partial));
  fs::remove_all(partial, error);
  ::close(lock);
  if (error) {
    return system_error(error.value(), "cannot remove what an earlier run left", partial.string());
  }
  return {};
}

}  // namespace

Result<TargetFolder> TargetFolder::create(const std::string& source, const std::string& destination,
                                          bool replace, uint64_t needed_bytes) {
  ASSIGN_OR_RETURN(const fs::path from, resolve(source));
  ASSIGN_OR_RETURN(const fs::path target, resolve(destination));
  const fs::path partial = target.string() + ".partial";
  RETURN_IF_ERROR(check_apart(from, target, destination));
  RETURN_IF_ERROR(check_apart(from, partial, partial.string()));
  RETURN_IF_ERROR(check_existing(target, replace));
  RETURN_IF_ERROR(check_parent(target.parent_path(), 0));
  RETURN_IF_ERROR(clear_leftover(partial));
  RETURN_IF_ERROR(check_parent(target.parent_path(), needed_bytes));
  if (::mkdir(partial.c_str(), 0777) != 0) {
    return system_error(errno, "cannot create the folder", partial.string());
  }
  auto lock = lock_marker(partial);
  if (!lock) {
    ::rmdir(partial.c_str());
    return lock.error();
  }
  return TargetFolder(target.string(), partial.string(), *lock);
}

TargetFolder::TargetFolder(TargetFolder&& other) noexcept
    : destination_(std::move(other.destination_)),
      partial_(std::move(other.partial_)),
      lock_(std::exchange(other.lock_, -1)),
      keep_(other.keep_) {}

TargetFolder::~TargetFolder() {
  if (lock_ < 0) return;
  std::error_code ignored;
  if (!keep_) fs::remove_all(partial_, ignored);
  ::close(lock_);
}

Status TargetFolder::commit() {
  CHECK(lock_ >= 0);
  RETURN_IF_ERROR(sync_folder(partial_));
  std::error_code ignored;
  if (fs::exists(fs::symlink_status(destination_, ignored))) {
    RETURN_IF_ERROR(replace_existing());
  } else if (::rename(partial_.c_str(), destination_.c_str()) != 0) {
    return system_error(errno, "cannot give the finished output this name", destination_);
  }
  ::unlink((fs::path(destination_) / kMarkerName).c_str());
  ::close(std::exchange(lock_, -1));
  return sync_folder(fs::path(destination_).parent_path().string());
}

Status TargetFolder::replace_existing() {
  std::string old = partial_;
  if (::renameat2(AT_FDCWD, partial_.c_str(), AT_FDCWD, destination_.c_str(), RENAME_EXCHANGE) !=
      0) {
    // File systems that cannot swap two names: step aside, move in, step back on failure.
    old = fmt::format("{}.replaced{}", destination_, ::getpid());
    if (::rename(destination_.c_str(), old.c_str()) != 0) {
      return system_error(errno, "cannot move the existing output folder aside", destination_);
    }
    if (::rename(partial_.c_str(), destination_.c_str()) != 0) {
      const int error_number = errno;
      ::rename(old.c_str(), destination_.c_str());
      return system_error(error_number, "cannot give the finished output this name", destination_);
    }
  }
  std::error_code error;
  fs::remove_all(old, error);
  if (error) {
    log(LogLevel::kWarning, "checkpoint", "the replaced folder could not be removed: {}", old);
  }
  return {};
}

}  // namespace nibble
