// The folder being written: checked, created as `DST.partial`, renamed to DST when it is whole.
#pragma once

#include <cstdint>
#include <string>

#include "core/result.h"

namespace nibble {

/// Holds `DST.partial` and a lock on it. Removes it when the object dies, unless it was committed
/// or is to be kept. A `DST.partial` that a cut run left behind (it carries our marker file) or
/// that is empty is emptied and taken over; any other folder of that name is refused, as is one
/// that a running process is writing.
class TargetFolder {
 public:
  /// Checks that the destination is neither the source nor inside it nor around it (also through
  /// symbolic links), does not exist (with `replace`: is a checkpoint folder or empty), that its
  /// parent exists and is writable, and that `needed_bytes` are free; then creates the folder.
  /// Errors: kInvalidArgument, kAlreadyExists, kNotFound, kPermission, kNoSpace, kIo.
  static Result<TargetFolder> create(const std::string& source, const std::string& destination,
                                     bool replace, uint64_t needed_bytes);
  TargetFolder(TargetFolder&& other) noexcept;
  TargetFolder& operator=(TargetFolder&&) = delete;
  ~TargetFolder();

  const std::string& partial() const { return partial_; }
  const std::string& destination() const { return destination_; }

  /// Gives the folder its final name. What was there before is removed only after that: a crash at
  /// any moment leaves the old folder or the new one under one of the two names.
  Status commit();

  /// Leaves the folder in place when the object dies.
  void keep() { keep_ = true; }

 private:
  TargetFolder(std::string destination, std::string partial, int lock)
      : destination_(std::move(destination)), partial_(std::move(partial)), lock_(lock) {}
  Status replace_existing();

  std::string destination_;
  std::string partial_;
  int lock_ = -1;
  bool keep_ = false;
};

}  // namespace nibble
