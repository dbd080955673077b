// The state behind a Checkpoint.
#pragma once

#include <string_view>
#include <unordered_map>

#include "checkpoint/storage/tensor_store.h"

namespace nibble {

struct Checkpoint::Impl {
  OpenedCheckpoint opened;
  std::unordered_map<std::string_view, size_t> by_name;

  /// The place among opened.tensors of a tensor that this checkpoint listed.
  size_t index(const TensorInfo& tensor) const;
};

}  // namespace nibble
