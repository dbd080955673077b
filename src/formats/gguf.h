// GGUF files: key-value metadata and tensors, read from a mapping and written as a stream.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/file.h"
#include "core/mapped_file.h"
#include "core/result.h"
#include "tensor/tensor.h"

namespace nibble {

/// The element and block types that nibble knows, with the numbers the file uses.
enum class GgufType : uint32_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ8_0 = 8,
  kQ4K = 12,
  kQ5K = 13,
  kQ6K = 14,
  kI8 = 24,
  kI16 = 25,
  kI32 = 26,
  kI64 = 27,
  kF64 = 28,
  kBF16 = 30,
  kNvfp4 = 40,
};

/// How a type lies in memory.
struct GgufTypeInfo {
  GgufType type;
  std::string_view name;  ///< "Q4_K"
  uint32_t n_values;      ///< values in a block; 1 for plain elements
  uint32_t n_bytes;       ///< bytes of a block
};

/// nullptr for type numbers that nibble does not know.
const GgufTypeInfo* gguf_type_info(uint32_t type);

/// A metadata array: elements of one kind. Arrays of arrays, which no known writer uses, are
/// refused.
using GgufArray = std::variant<std::vector<uint8_t>, std::vector<int8_t>, std::vector<uint16_t>,
                               std::vector<int16_t>, std::vector<uint32_t>, std::vector<int32_t>,
                               std::vector<float>, std::vector<bool>, std::vector<std::string>,
                               std::vector<uint64_t>, std::vector<int64_t>, std::vector<double>>;

/// A metadata value. The alternatives stand in the order of the file's kind numbers.
using GgufValue = std::variant<uint8_t, int8_t, uint16_t, int16_t, uint32_t, int32_t, float, bool,
                               std::string, GgufArray, uint64_t, int64_t, double>;

struct GgufField {
  std::string key;
  GgufValue value;
};

/// One tensor of a file.
struct GgufTensor {
  std::string name;
  GgufType type = GgufType::kF32;
  Shape shape;          ///< slowest axis first, as everywhere in nibble (the file has it reversed)
  uint64_t offset = 0;  ///< from the start of the data section
  uint64_t n_bytes = 0;
};

/// Bytes of a tensor of that type and shape; nothing where the fastest axis is not whole blocks or
/// the size overflows.
std::optional<uint64_t> gguf_tensor_bytes(GgufType type, const Shape& shape);

/// The parsed start of a file.
struct GgufHeader {
  uint32_t version = 3;
  std::vector<GgufField> fields;
  std::vector<GgufTensor> tensors;
  uint64_t data_begin = 0;  ///< file offset of the data section

  /// nullptr where there is no such field.
  const GgufValue* find(std::string_view key) const;
};

/// Parses a header and checks every count, length, offset and size against the bytes there are
/// before allocating for it.
///   bytes  the whole file
/// Errors: kCorrupt, kUnsupported (version, byte order, tensor type), kLimit.
Result<GgufHeader> parse_gguf_header(std::span<const std::byte> bytes, std::string_view subject);

/// An opened GGUF file. Immutable; reading is safe from several threads.
class GgufFile {
 public:
  /// Errors: those of MappedFile::open and parse_gguf_header.
  static Result<GgufFile> open(const std::string& path);
  const GgufHeader& header() const { return header_; }
  /// The bytes of one of header().tensors.
  std::span<const std::byte> bytes(const GgufTensor& tensor) const;
  const MappedFile& file() const { return file_; }

 private:
  GgufFile(MappedFile file, GgufHeader header)
      : file_(std::move(file)), header_(std::move(header)) {}
  MappedFile file_;
  GgufHeader header_;
};

/// Writes a GGUF file front to back: all fields and tensors are declared first, then every tensor's
/// bytes follow in the declared order. Not thread safe.
class GgufWriter {
 public:
  /// Offsets and sizes of `tensors` are computed here. Errors: kInvalidArgument, those of
  /// OutputFile.
  static Result<GgufWriter> create(const std::string& path, std::span<const GgufField> fields,
                                   std::vector<GgufTensor> tensors);
  /// Appends bytes of the tensor at hand; moves on to the next when it is full.
  Status write(std::span<const std::byte> bytes);
  /// Flushes and closes; every tensor must have been written.
  Status finish();
  /// Size of the finished file.
  uint64_t total_bytes() const { return total_bytes_; }

 private:
  GgufWriter(OutputFile file, std::vector<GgufTensor> tensors)
      : file_(std::move(file)), tensors_(std::move(tensors)) {}
  OutputFile file_;
  std::vector<GgufTensor> tensors_;
  size_t current_ = 0;
  uint64_t n_current_bytes_ = 0;
  uint64_t total_bytes_ = 0;
};

}  // namespace nibble
