// Reads the tensors of a source ahead of those who work on them, and hashes them on the way.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"

namespace nibble {

/// One thread that touches the bytes of plain tensors in a given order, at most a window ahead of
/// the consumer, so that the disk works while the processor does and memory stays bounded. All
/// functions are for the one consumer, which takes the tensors in the same order.
class ReadAhead {
 public:
  ReadAhead(const Checkpoint& source, std::vector<const TensorInfo*> order, uint64_t window_bytes);
  ~ReadAhead();
  ReadAhead(const ReadAhead&) = delete;
  ReadAhead& operator=(const ReadAhead&) = delete;

  /// Waits until the first `n_bytes` of the tensor were read, and lets the thread go on from there.
  void wait_for(const TensorInfo& tensor, uint64_t n_bytes);

  /// Waits for the whole tensor and returns the hash of its bytes; empty for tensors that are not
  /// stored plain.
  std::string hash_of(const TensorInfo& tensor);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace nibble
