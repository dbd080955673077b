#include "quantize/streaming/read_ahead.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <utility>

#include "core/check.h"
#include "core/content_hash.h"

namespace nibble {
namespace {

// Read between two looks at the consumer.
constexpr size_t kPieceBytes = size_t{4} << 20;

std::span<const std::byte> bytes_of(const Checkpoint& source, const TensorInfo& tensor) {
  if (tensor.storage != Storage::kPlain) return {};
  return source.plain(tensor).bytes;
}

}  // namespace

struct ReadAhead::State {
  struct Place {
    uint64_t begin = 0;  // among the bytes of all tensors in order
    uint64_t n_bytes = 0;
    std::string hash;
  };

  const Checkpoint* source = nullptr;
  std::vector<const TensorInfo*> order;
  uint64_t window_bytes = 0;
  std::mutex mutex;
  std::condition_variable changed;
  std::unordered_map<const TensorInfo*, Place> places;
  uint64_t n_read = 0;      // bytes of all tensors in order
  uint64_t n_consumed = 0;  // the same, by the consumer
  bool stopping = false;
  std::thread thread;

  void work() {
    for (const TensorInfo* tensor : order) {
      ContentHasher hasher;
      std::span<const std::byte> rest = bytes_of(*source, *tensor);
      const bool plain = tensor->storage == Storage::kPlain;
      while (!rest.empty()) {
        const auto piece = rest.first(std::min(rest.size(), kPieceBytes));
        if (!wait_for_room(piece.size())) return;
        hasher.update(piece);
        rest = rest.subspan(piece.size());
        const std::lock_guard lock(mutex);
        n_read += piece.size();
        changed.notify_all();
      }
      const std::lock_guard lock(mutex);
      if (plain) places.at(tensor).hash = hasher.hex();
      changed.notify_all();
    }
  }

  // False where there is nobody left to read for.
  bool wait_for_room(uint64_t n_bytes) {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] {
      return stopping || n_read + n_bytes <= n_consumed + std::max(window_bytes, n_bytes);
    });
    return !stopping;
  }
};

ReadAhead::ReadAhead(const Checkpoint& source, std::vector<const TensorInfo*> order,
                     uint64_t window_bytes)
    : state_(std::make_unique<State>()) {
  state_->source = &source;
  state_->order = std::move(order);
  state_->window_bytes = window_bytes;
  uint64_t begin = 0;
  for (const TensorInfo* tensor : state_->order) {
    const uint64_t n_bytes = bytes_of(source, *tensor).size();
    state_->places[tensor] = {begin, n_bytes, {}};
    begin += n_bytes;
  }
  state_->thread = std::thread([state = state_.get()] { state->work(); });
}

ReadAhead::~ReadAhead() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopping = true;
  }
  state_->changed.notify_all();
  state_->thread.join();
}

void ReadAhead::wait_for(const TensorInfo& tensor, uint64_t n_bytes) {
  std::unique_lock lock(state_->mutex);
  const State::Place& place = state_->places.at(&tensor);
  CHECK(n_bytes <= place.n_bytes);
  state_->n_consumed = std::max(state_->n_consumed, place.begin + n_bytes);
  state_->changed.notify_all();
  state_->changed.wait(lock, [&] { return state_->n_read >= place.begin + n_bytes; });
}

std::string ReadAhead::hash_of(const TensorInfo& tensor) {
  std::unique_lock lock(state_->mutex);
  const State::Place& place = state_->places.at(&tensor);
  const uint64_t end = place.begin + place.n_bytes;
  state_->n_consumed = std::max(state_->n_consumed, end);
  state_->changed.notify_all();
  const bool plain = tensor.storage == Storage::kPlain;
  state_->changed.wait(lock, [&] { return !plain || !place.hash.empty(); });
  return place.hash;
}

}  // namespace nibble
