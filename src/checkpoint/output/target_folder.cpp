#include "checkpoint/output/target_folder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <stdio.h>  // renameat2
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <thread>
#include <utility>
#include <vector>

#include "core/bytes.h"
#include "core/file.h"
#include "core/log.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

// The journal of the run, which also marks the folder as ours and carries the lock.
constexpr const char* kJournalName = ".nibble-partial";
// Where a replaced folder waits on file systems that cannot swap two names.
constexpr const char* kAsideSuffix = ".replaced";

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

// A process that was just killed holds its lock until the system has taken its memory apart.
constexpr int kLockTries = 20;
constexpr auto kLockPause = std::chrono::milliseconds(100);

bool try_lock(int descriptor) {
  for (int i = 0; i < kLockTries; ++i) {
    if (::flock(descriptor, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return true;
    std::this_thread::sleep_for(kLockPause);
  }
  return false;
}

// Locks the journal of a folder; the lock goes with the process.
Result<int> lock_journal(const fs::path& folder) {
  const std::string path = (folder / kJournalName).string();
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor < 0) return system_error(errno, "cannot open for writing", path);
  if (!try_lock(descriptor)) {
    ::close(descriptor);
    return Error(ErrorCode::kAlreadyExists, "another run is writing this folder; wait for it",
                 folder.string());
  }
  return descriptor;
}

// Which folder a name means, whatever it is called at the moment; null where there is none.
Json identity_of(const fs::path& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) return nullptr;
  return Json{{"device", static_cast<uint64_t>(info.st_dev)},
              {"inode", static_cast<uint64_t>(info.st_ino)}};
}

// Removes the folder that a commit replaced, under whichever of its names it is, and the journal
// last: as long as that is there, the next process knows what remains to be done.
Status clean_up_after_commit(const fs::path& destination, const Journal& journal) {
  for (const Json& record : journal.records()) {
    const auto commit = record.find("commit");
    if (commit == record.end() || !commit->contains("replaces")) continue;
    const Json& replaced = (*commit)["replaces"];
    for (const char* suffix : {".partial", kAsideSuffix}) {
      const fs::path old = destination.string() + suffix;
      if (replaced.is_null() || identity_of(old) != replaced) continue;
      std::error_code error;
      fs::remove_all(old, error);
      if (error) {
        log(LogLevel::kWarning, "checkpoint", "the replaced folder could not be removed: {}",
            old.string());
      }
    }
  }
  if (::unlink((destination / kJournalName).c_str()) != 0) {
    return system_error(errno, "cannot remove the journal of the finished output",
                        (destination / kJournalName).string());
  }
  return sync_folder(destination.parent_path().string());
}

bool is_of_run(const Journal& journal, const Json& run) {
  return !run.is_null() && !journal.records().empty() && journal.records()[0] == run;
}

bool is_being_committed(const Journal& journal) {
  return !journal.records().empty() && journal.records().back().contains("commit");
}

// What a folder takes on the disk already, at top level.
uint64_t disk_bytes(const fs::path& folder) {
  uint64_t total = 0;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    struct stat info {};
    if (::lstat(at->path().c_str(), &info) == 0) {
      total += static_cast<uint64_t>(info.st_blocks) * 512;
    }
  }
  return total;
}

}  // namespace

// An earlier process may have died after the rename and before the journal was gone. Returns that
// journal if the process was of the same run.
Result<std::unique_ptr<Journal>> TargetFolder::settle_earlier_commit(
    const TargetRequest& request, const std::string& destination) {
  const fs::path target(destination);
  std::error_code ignored;
  std::unique_ptr<Journal> none;
  if (!fs::is_regular_file(fs::symlink_status(target / kJournalName, ignored))) return none;
  ASSIGN_OR_RETURN(const int lock, lock_journal(target));
  auto opened = Journal::open((target / kJournalName).string());
  Status status = opened ? Status() : opened.error();
  const bool ours = status && is_being_committed(*opened);
  if (ours) status = clean_up_after_commit(target, *opened);
  ::close(lock);
  RETURN_IF_ERROR(status);
  if (!ours || !is_of_run(*opened, request.run)) return none;
  return std::make_unique<Journal>(std::move(*opened));
}

Result<TargetFolder> TargetFolder::create(const TargetRequest& request) {
  ASSIGN_OR_RETURN(const fs::path from, resolve(request.source));
  ASSIGN_OR_RETURN(const fs::path target, resolve(request.destination));
  const fs::path partial = target.string() + ".partial";
  RETURN_IF_ERROR(check_apart(from, target, request.destination));
  RETURN_IF_ERROR(check_apart(from, partial, partial.string()));
  ASSIGN_OR_RETURN(std::unique_ptr<Journal> settled,
                   settle_earlier_commit(request, target.string()));
  if (settled != nullptr) {
    TargetFolder folder(target.string(), target.string());
    folder.journal_ = std::move(settled);
    folder.committed_ = true;
    return folder;
  }
  RETURN_IF_ERROR(check_existing(target, request.replace));
  RETURN_IF_ERROR(check_parent(target.parent_path(), 0));
  TargetFolder folder(target.string(), partial.string());
  RETURN_IF_ERROR(folder.enter(request));
  const uint64_t present = disk_bytes(partial);
  if (Status space = check_parent(target.parent_path(),
                                  request.needed_bytes - std::min(request.needed_bytes, present));
      !space) {
    folder.keep_ = folder.resumed_;
    return space.error();
  }
  return folder;
}

// Creates the folder or takes over what a cut run left behind.
Status TargetFolder::enter(const TargetRequest& request) {
  std::error_code error;
  const fs::file_status status = fs::symlink_status(partial_, error);
  if (fs::exists(status)) {
    const bool ours =
        fs::is_directory(status) &&
        (fs::exists(partial_ + "/" + kJournalName, error) || fs::is_empty(partial_, error));
    if (!ours) {
      return Error(ErrorCode::kAlreadyExists,
                   "is needed for the unfinished output, but exists and was not left by an earlier "
                   "run; rename or remove it",
                   partial_);
    }
  } else if (::mkdir(partial_.c_str(), 0777) != 0) {
    return system_error(errno, "cannot create the folder", partial_);
  }
  auto lock = lock_journal(partial_);
  if (!lock) {
    ::rmdir(partial_.c_str());  // only where it is empty
    return lock.error();
  }
  lock_ = *lock;
  ASSIGN_OR_RETURN(Journal journal, Journal::open(partial_ + "/" + kJournalName));
  journal_ = std::make_unique<Journal>(std::move(journal));
  resumed_ = is_of_run(*journal_, request.run);
  if (resumed_) return {};
  if (!journal_->records().empty() && !request.run.is_null()) {
    log(LogLevel::kWarning, "checkpoint",
        "{} was left by a different command, or its source, recipe or nibble's version has changed "
        "since: starting over",
        partial_);
  }
  // In this order no crash leaves content that the journal does not speak for.
  RETURN_IF_ERROR(journal_->cut(0));
  RETURN_IF_ERROR(remove_all_but([](const std::string&) { return false; }));
  return request.run.is_null() ? Status() : journal_->append(request.run);
}

TargetFolder::TargetFolder(TargetFolder&& other) noexcept
    : destination_(std::move(other.destination_)),
      partial_(std::move(other.partial_)),
      journal_(std::move(other.journal_)),
      lock_(std::exchange(other.lock_, -1)),
      keep_(other.keep_),
      resumed_(other.resumed_),
      committed_(other.committed_) {}

TargetFolder::~TargetFolder() {
  if (lock_ < 0) return;
  if (!keep_ && remove_all_but([](const std::string&) { return false; })) {
    ::unlink((partial_ + "/" + kJournalName).c_str());
    ::rmdir(partial_.c_str());
  }
  ::close(lock_);
}

Status TargetFolder::list(std::vector<std::string>& names) const {
  std::error_code error;
  for (fs::directory_iterator at(partial_, error), end; !error && at != end; at.increment(error)) {
    if (at->path().filename() != kJournalName) names.push_back(at->path().filename().string());
  }
  return error ? Status(system_error(error.value(), "cannot list the folder", partial_)) : Status();
}

Status TargetFolder::remove(const std::string& name) const {
  std::error_code error;
  fs::remove_all(fs::path(partial_) / name, error);
  if (!error) return {};
  return system_error(error.value(), "cannot remove what an earlier run left",
                      (fs::path(partial_) / name).string());
}

Status TargetFolder::commit() {
  CHECK(lock_ >= 0);
  RETURN_IF_ERROR(sync_folder(partial_));
  RETURN_IF_ERROR(journal_->append(Json{{"commit", {{"replaces", identity_of(destination_)}}}}));
  RETURN_IF_ERROR(journal_->sync());
  RETURN_IF_ERROR(move_to_destination());
  RETURN_IF_ERROR(sync_folder(fs::path(destination_).parent_path().string()));
  Status status = clean_up_after_commit(destination_, *journal_);
  ::close(std::exchange(lock_, -1));
  return status;
}

Status TargetFolder::move_to_destination() {
  std::error_code ignored;
  if (fs::exists(fs::symlink_status(destination_, ignored))) {
    if (::renameat2(AT_FDCWD, partial_.c_str(), AT_FDCWD, destination_.c_str(), RENAME_EXCHANGE) ==
        0) {
      return {};
    }
    // File systems that cannot swap two names: step aside, move in, step back on failure.
    const std::string aside = destination_ + kAsideSuffix;
    if (::rename(destination_.c_str(), aside.c_str()) != 0) {
      return system_error(errno, "cannot move the existing output folder aside", destination_);
    }
    if (::rename(partial_.c_str(), destination_.c_str()) == 0) return {};
    const int error_number = errno;
    ::rename(aside.c_str(), destination_.c_str());
    return system_error(error_number, "cannot give the finished output this name", destination_);
  }
  if (::rename(partial_.c_str(), destination_.c_str()) == 0) return {};
  return system_error(errno, "cannot give the finished output this name", destination_);
}

}  // namespace nibble
