#include "core/ordered_worker.h"

#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

namespace nibble {

struct OrderedWorker::State {
  struct Entry {
    uint64_t weight = 0;
    Task task;
  };

  explicit State(uint64_t limit) : max_weight(limit) {}

  const uint64_t max_weight;
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<Entry> queue;
  uint64_t weight = 0;  // of the queue and the task at hand
  bool busy = false;
  bool stopping = false;
  std::optional<Error> error;
  std::thread thread;

  void work() {
    std::unique_lock lock(mutex);
    while (true) {
      changed.wait(lock, [&] { return stopping || !queue.empty(); });
      if (stopping) return;
      Entry entry = std::move(queue.front());
      queue.pop_front();
      busy = true;
      if (!error) {
        lock.unlock();
        const Status status = entry.task();
        entry.task = nullptr;  // frees what the task holds before its weight is given back
        lock.lock();
        if (!status) error = status.error();
      }
      busy = false;
      weight -= entry.weight;
      changed.notify_all();
    }
  }

  Status status() const { return error ? Status(*error) : Status(); }
};

OrderedWorker::OrderedWorker(uint64_t max_weight) : state_(std::make_unique<State>(max_weight)) {
  state_->thread = std::thread([state = state_.get()] { state->work(); });
}

OrderedWorker::~OrderedWorker() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopping = true;
  }
  state_->changed.notify_all();
  state_->thread.join();
}

Status OrderedWorker::push(uint64_t weight, Task task) {
  State& state = *state_;
  std::unique_lock lock(state.mutex);
  state.changed.wait(lock, [&] {
    return state.error || state.weight == 0 || state.weight + weight <= state.max_weight;
  });
  RETURN_IF_ERROR(state.status());
  state.weight += weight;
  state.queue.push_back({weight, std::move(task)});
  state.changed.notify_all();
  return {};
}

Status OrderedWorker::drain() {
  State& state = *state_;
  std::unique_lock lock(state.mutex);
  state.changed.wait(lock, [&] { return state.queue.empty() && !state.busy; });
  return state.status();
}

}  // namespace nibble
