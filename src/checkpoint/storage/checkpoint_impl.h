// The state behind a Checkpoint.
#pragma once

#include <string_view>
#include <unordered_map>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "checkpoint/dialects/dialect.h"
#include "checkpoint/storage/stored_folder.h"

namespace nibble {

struct Checkpoint::Impl {
  StoredFolder folder;
  std::string_view dialect;
  std::vector<TensorInfo> tensors;
  std::vector<CanonicalTensor> places;  // parallel to tensors
  std::unordered_map<std::string_view, size_t> by_name;

  /// The stored place of a tensor that this checkpoint listed.
  const CanonicalTensor& place(const TensorInfo& tensor) const;
  TensorView view(const StoredTensor& stored) const;
};

}  // namespace nibble
