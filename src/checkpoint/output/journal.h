// The record of an unfinished output: what was written so far and what it is made from, so that the
// same command can go on after any accident.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "core/file.h"
#include "core/json.h"
#include "core/result.h"

namespace nibble {

/// An append-only file of one JSON object a line, each behind its own hash. A line that was torn by
/// a crash, and everything behind it, is cut off when the file is opened again. Not thread safe.
class Journal {
 public:
  /// Opens or creates the file and reads what is whole. Errors: kPermission, kIo, kLimit.
  static Result<Journal> open(const std::string& path);

  /// All records in order.
  std::span<const Json> records() const { return records_; }

  /// Writes one record to the file, where it outlives the process.
  Status append(const Json& record);
  /// Makes all records outlive a power cut.
  Status sync() { return file_.sync(); }
  /// Forgets all records but the first `n`.
  Status cut(size_t n);

 private:
  explicit Journal(OutputFile file) : file_(std::move(file)) {}
  OutputFile file_;
  std::vector<Json> records_;
  std::vector<uint64_t> ends_;  // in the file, by record
};

}  // namespace nibble
