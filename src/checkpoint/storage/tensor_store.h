// What a checkpoint's opening hands over, and who owns its bytes, whatever the container.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "core/json.h"
#include "core/result.h"

namespace nibble {

/// Owns the bytes that the matrices of an OpenedCheckpoint borrow. Safe from several threads.
class TensorStore {
 public:
  TensorStore() = default;
  TensorStore(const TensorStore&) = delete;
  TensorStore& operator=(const TensorStore&) = delete;
  virtual ~TensorStore() = default;

  /// As Checkpoint::intact and Checkpoint::side_file.
  virtual Status intact() const = 0;
  virtual Result<std::string> side_file(std::string_view name) const = 0;
  /// As Checkpoint::release, for the tensor of that index among OpenedCheckpoint::tensors.
  virtual void release(size_t tensor) const = 0;
};

/// A checkpoint as its container and dialect understood it.
struct OpenedCheckpoint {
  std::string path;
  std::string_view dialect;
  Json config;
  std::vector<TensorInfo> tensors;    ///< names may still be empty: they follow from stored names
  std::vector<MatrixSource> sources;  ///< parallel to tensors
  std::unique_ptr<TensorStore> store;
};

}  // namespace nibble
