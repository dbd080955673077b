// A read-only file in memory whose truncation by somebody else becomes an error, not a crash.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "core/result.h"

namespace nibble {

/// A whole file mapped read-only. Pages that vanish while mapped (the file was truncated, the disk
/// failed) read as zeros and are remembered: ask intact() after reading, before trusting the bytes.
/// Movable; bytes() stays valid while the object lives. Reading is safe from several threads.
class MappedFile {
 public:
  /// Maps `path`. An empty file gives an empty span. Errors: kNotFound, kPermission, kIo.
  static Result<MappedFile> open(const std::string& path);
  MappedFile(MappedFile&&) noexcept;
  MappedFile& operator=(MappedFile&&) noexcept;
  ~MappedFile();

  std::span<const std::byte> bytes() const;
  const std::string& path() const;

  /// kIo if a page could not be read since opening.
  Status intact() const;

  /// Tells the kernel that the range will not be needed again soon (streaming reads).
  void release(size_t offset, size_t n_bytes) const;

 private:
  struct Mapping;
  explicit MappedFile(std::unique_ptr<Mapping> mapping);
  std::unique_ptr<Mapping> mapping_;
};

/// The same hint for bytes of any MappedFile; bytes that lie in none are left alone.
void release_mapped(std::span<const std::byte> bytes);

}  // namespace nibble
