// The safetensors container: a JSON header that names tensors, then their bytes. Knows nothing of
// what the tensors mean.
//
// Layout: 8 bytes header length (little-endian), the header, the data. The data of all tensors lies
// contiguous, without gaps or overlap, and covers the rest of the file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/file.h"
#include "core/mapped_file.h"
#include "core/result.h"
#include "tensor/tensor.h"

namespace nibble {

/// What a header may hold at most. Real files stay far below; every limit answers kLimit.
inline constexpr uint64_t kMaxSafetensorsHeaderBytes = 100'000'000;
inline constexpr size_t kMaxSafetensorsEntries = 1'000'000;
inline constexpr size_t kMaxSafetensorsRank = 16;

/// One tensor of a file.
struct SafetensorsEntry {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
  uint64_t offset = 0;  ///< bytes from the start of the data
  uint64_t n_bytes = 0;
};

/// A checked header.
struct SafetensorsHeader {
  std::vector<SafetensorsEntry> entries;  ///< by offset
  std::vector<uint32_t> by_name;          ///< indices of entries, sorted by name
  std::map<std::string, std::string> metadata;
  uint64_t data_offset = 0;  ///< where the data begins in the file

  /// The entry of that name, or nullptr. Cost: a binary search.
  const SafetensorsEntry* find(std::string_view name) const;
};

/// Parses and checks the header of a whole file: names are unique, every shape fits its bytes, and
/// the offsets cover the data exactly. Memory and time are bounded by the size of the header.
///   file     all bytes of the file, borrowed; only the header is read
///   subject  names the file in errors
/// Errors: kCorrupt, kLimit, kUnsupported (an element type that nibble does not know).
Result<SafetensorsHeader> parse_safetensors_header(std::span<const std::byte> file,
                                                   std::string_view subject);

/// An opened file, mapped. Immutable; safe from several threads; views live as long as it does.
class SafetensorsFile {
 public:
  /// Maps the file and checks its header. Errors: kNotFound, kPermission, kIo, and those of
  /// parse_safetensors_header.
  static Result<SafetensorsFile> open(const std::string& path);

  const std::string& path() const { return file_.path(); }
  const SafetensorsHeader& header() const { return header_; }

  /// The tensor's elements in the mapped file; they may be unaligned.
  TensorView view(const SafetensorsEntry& entry) const;

  /// As MappedFile.
  Status intact() const { return file_.intact(); }
  void release(const SafetensorsEntry& entry) const;

 private:
  SafetensorsFile(MappedFile file, SafetensorsHeader header)
      : file_(std::move(file)), header_(std::move(header)) {}
  MappedFile file_;
  SafetensorsHeader header_;
};

/// What a file to be written declares of one tensor.
struct SafetensorsDeclaration {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
};

/// Where everything lies in a file of these declarations.
struct SafetensorsLayout {
  std::string head;               ///< length field and header
  std::vector<uint64_t> offsets;  ///< in the file, by declaration
  std::vector<uint64_t> sizes;    ///< in bytes, by declaration
  uint64_t file_bytes = 0;
};

/// The layout that SafetensorsWriter uses. Errors: kInvalidArgument (a name twice, a size that
/// overflows).
Result<SafetensorsLayout> lay_out_safetensors(
    const std::vector<SafetensorsDeclaration>& declarations, const std::string& subject);

/// Writes one file. All tensors are declared first; then their bytes may come in any order, each
/// tensor's front to back. The largest elements lie first in the file, so that every tensor is
/// aligned to its element size, as readers that view the bytes in place need it. Not thread safe.
class SafetensorsWriter {
 public:
  /// Creates `path` and writes the header with the metadata {"format": "pt"}.
  /// Errors: kInvalidArgument (a name twice, a size that overflows), those of OutputFile.
  static Result<SafetensorsWriter> create(const std::string& path,
                                          const std::vector<SafetensorsDeclaration>& declarations);

  /// Goes on with a file whose header and first `n_complete` tensors an earlier writer wrote with
  /// the same declarations; the others begin anew. Errors: as create().
  static Result<SafetensorsWriter> resume(const std::string& path,
                                          const std::vector<SafetensorsDeclaration>& declarations,
                                          size_t n_complete);

  /// Makes what was written outlive a power cut.
  Status sync() { return file_.sync(); }

  /// Appends bytes to the tensor of that index among the declarations.
  Status write(size_t index, std::span<const std::byte> bytes);

  /// Syncs and closes. Every tensor must be complete (CHECK).
  Status finish();

 private:
  struct Cursor {
    uint64_t next = 0;  // in the file
    uint64_t end = 0;
  };
  SafetensorsWriter(OutputFile file, const SafetensorsLayout& layout, size_t n_complete);
  OutputFile file_;
  std::vector<Cursor> cursors_;
};

/// Bytes of the file's header, its length field included, as SafetensorsWriter writes it.
/// Errors: kInvalidArgument as SafetensorsWriter::create.
Result<uint64_t> safetensors_header_bytes(const std::vector<SafetensorsDeclaration>& declarations);

}  // namespace nibble
