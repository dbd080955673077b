// The one file being written: checked, created as `OUT.partial`, renamed to OUT when it is whole.
#pragma once

#include <cstdint>
#include <string>

#include "core/result.h"

namespace nibble {

/// Holds `OUT.partial` and a lock on it. Removes it when the object dies, unless it was committed
/// or is to be kept. A `OUT.partial` that a cut run left behind (a GGUF file or an empty one) is
/// taken over and overwritten; any other file of that name is refused, as is one that a running
/// process is writing.
class TargetFile {
 public:
  /// Checks that the name ends in ".gguf", that the destination is not the source (also through
  /// symbolic links), does not exist (with `replace`: is a GGUF file), that its folder exists and
  /// is writable, and that `needed_bytes` are free; then creates the file.
  /// Errors: kInvalidArgument, kAlreadyExists, kNotFound, kPermission, kNoSpace, kIo.
  static Result<TargetFile> create(const std::string& source, const std::string& destination,
                                   bool replace, uint64_t needed_bytes);
  TargetFile(TargetFile&& other) noexcept;
  TargetFile& operator=(TargetFile&&) = delete;
  ~TargetFile();

  const std::string& partial() const { return partial_; }

  /// Gives the file, which must be synced, its final name; a crash at any moment leaves the old
  /// file or the new one under it.
  Status commit();

  /// Leaves the file in place when the object dies.
  void keep() { keep_ = true; }

 private:
  TargetFile(std::string destination, std::string partial, int lock)
      : destination_(std::move(destination)), partial_(std::move(partial)), lock_(lock) {}

  std::string destination_;
  std::string partial_;
  int lock_ = -1;
  bool keep_ = false;
};

}  // namespace nibble
