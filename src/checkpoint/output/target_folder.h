// The folder being written: checked, created as `DST.partial`, renamed to DST when it is whole.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "checkpoint/output/journal.h"
#include "core/result.h"

namespace nibble {

/// What a target folder is made for.
struct TargetRequest {
  std::string source;
  std::string destination;
  bool replace = false;       ///< an existing checkpoint folder at the destination
  uint64_t needed_bytes = 0;  ///< of the whole output
  /// What the output is made from and how, down to what could change a byte of it. A leftover of
  /// the same run is taken over with its content. Null: never.
  Json run = nullptr;
};

/// Holds `DST.partial`, a lock on it and its journal. Removes the folder when the object dies,
/// unless it was committed or is to be kept. A `DST.partial` that a cut run left behind (it carries
/// our journal) or that is empty is taken over, emptied where it is of another run; any other
/// folder of that name is refused, as is one that a running process is writing.
///
/// Whatever moment a process dies at, the next one finishes what it began: also between the rename
/// and the removal of a replaced folder and of the journal.
class TargetFolder {
 public:
  /// Checks that the destination is neither the source nor inside it nor around it (also through
  /// symbolic links), does not exist (with `replace`: is a checkpoint folder or empty), that its
  /// parent exists and is writable, and that the bytes needed are free; then creates the folder.
  /// Errors: kInvalidArgument, kAlreadyExists, kNotFound, kPermission, kNoSpace, kIo.
  static Result<TargetFolder> create(const TargetRequest& request);
  /// The same for an output that cannot be taken over.
  static Result<TargetFolder> create(const std::string& source, const std::string& destination,
                                     bool replace, uint64_t needed_bytes) {
    return create(TargetRequest{source, destination, replace, needed_bytes, nullptr});
  }
  TargetFolder(TargetFolder&& other) noexcept;
  TargetFolder& operator=(TargetFolder&&) = delete;
  ~TargetFolder();

  const std::string& partial() const { return partial_; }
  const std::string& destination() const { return destination_; }

  /// The folder holds work of an earlier process of the same run.
  bool resumed() const { return resumed_; }
  /// The earlier process was cut while it gave the folder its name; that was finished just now, and
  /// partial() is the destination. Nothing is left to do.
  bool already_committed() const { return committed_; }

  /// Its first record is the run.
  Journal& journal() { return *journal_; }

  /// Removes everything but the journal and what `keeps` answers true to (names at top level).
  template <typename Keeps>
  Status remove_all_but(Keeps keeps);

  /// Gives the folder its final name. What was there before is removed only after that: a crash at
  /// any moment leaves the old folder or the new one under one of the two names.
  Status commit();

  /// Leaves the folder in place when the object dies.
  void keep() { keep_ = true; }

 private:
  TargetFolder(std::string destination, std::string partial)
      : destination_(std::move(destination)), partial_(std::move(partial)) {}
  static Result<std::unique_ptr<Journal>> settle_earlier_commit(const TargetRequest& request,
                                                                const std::string& destination);
  Status enter(const TargetRequest& request);
  Status move_to_destination();
  Status list(std::vector<std::string>& names) const;
  Status remove(const std::string& name) const;

  std::string destination_;
  std::string partial_;
  std::unique_ptr<Journal> journal_;
  int lock_ = -1;
  bool keep_ = false;
  bool resumed_ = false;
  bool committed_ = false;
};

template <typename Keeps>
Status TargetFolder::remove_all_but(Keeps keeps) {
  std::vector<std::string> names;
  RETURN_IF_ERROR(list(names));
  for (const std::string& name : names) {
    if (keeps(name)) continue;
    RETURN_IF_ERROR(remove(name));
  }
  return {};
}

}  // namespace nibble
