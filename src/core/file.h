// Whole files: reading, and writing so that a name exists only once its content is whole.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "core/result.h"

namespace nibble {

/// The error for a failed system call on `path`: the code follows errno, the message says what was
/// tried ("cannot open for reading").
Error system_error(int error_number, std::string_view tried, const std::string& path);

/// Reads a whole regular file, refusing more than `max_bytes`. Errors: kNotFound, kPermission, kIo,
/// kLimit.
Result<std::string> read_file(const std::string& path, uint64_t max_bytes = uint64_t{1} << 30);

/// Writes `path` by way of a temporary name beside it: write, fsync, rename.
Status write_file_atomically(const std::string& path, std::string_view content);

/// Copies a regular file byte for byte (content only, default permissions), fsynced.
Status copy_file_bytes(const std::string& from, const std::string& to);

/// A file being written front to back; not yet visible under its final name to anyone else's eyes:
/// the caller renames. Unbuffered writes, every failure reported.
class OutputFile {
 public:
  /// Creates or truncates `path`.
  static Result<OutputFile> create(const std::string& path);
  /// Opens `path`, or creates it, and keeps what it holds; write_at() changes it in place.
  static Result<OutputFile> open_existing(const std::string& path);
  OutputFile(OutputFile&& other) noexcept;
  OutputFile& operator=(OutputFile&& other) noexcept;
  ~OutputFile();

  Status write(std::span<const std::byte> bytes);
  /// Writes at a position of the file, which may lie behind its end; write() goes on where it was.
  Status write_at(uint64_t offset, std::span<const std::byte> bytes);
  /// Cuts or extends the file.
  Status resize(uint64_t n_bytes);
  /// Flushes what was written to the disk.
  Status sync();
  /// Flushes to the disk and closes.
  Status finish();
  uint64_t n_written_bytes() const { return n_written_bytes_; }

 private:
  OutputFile(int descriptor, std::string path) : descriptor_(descriptor), path_(std::move(path)) {}
  int descriptor_ = -1;
  std::string path_;
  uint64_t n_written_bytes_ = 0;
};

/// fsyncs a folder so that renames inside it survive a power cut.
Status sync_folder(const std::string& path);

}  // namespace nibble
