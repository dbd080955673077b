// Named tensors in one file (safetensors), for logits, reference data and tools.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "tensor/tensor.h"

namespace nibble {

struct NamedTensor {
  std::string name;
  TensorView tensor;  ///< borrowed; must be complete
};

/// Writes the tensors so that `path` exists only once it is whole.
/// Errors: kInvalidArgument (a name twice, bytes that do not fit the shape), kPermission, kNoSpace,
/// kIo.
Status write_tensor_file(const std::string& path, std::span<const NamedTensor> tensors);

/// An opened file, mapped. Immutable; safe from several threads; views live as long as it does.
class TensorFile {
 public:
  /// Maps the file and checks its header. Errors: kNotFound, kCorrupt, kLimit, kUnsupported, kIo.
  static Result<TensorFile> open(const std::string& path);
  TensorFile(TensorFile&&) noexcept;
  TensorFile& operator=(TensorFile&&) noexcept;
  ~TensorFile();

  /// All names, sorted.
  std::vector<std::string> names() const;
  /// The tensor of that name, or nothing; its bytes lie in the mapped file.
  std::optional<TensorView> find(std::string_view name) const;
  /// A text of the file's metadata, or nothing.
  std::optional<std::string> metadata(const std::string& key) const;
  /// kIo if mapped bytes could not be read.
  Status intact() const;

 private:
  struct Impl;
  explicit TensorFile(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace nibble
