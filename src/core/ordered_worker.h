// One background thread that carries tasks out in the order in which they were given.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "core/result.h"

namespace nibble {

/// Overlaps work: the giver goes on while the thread works the queue off. Tasks carry a weight, and
/// push() waits while the weights in the queue exceed the limit, so memory stays bounded. After the
/// first error, tasks that follow are dropped. push() and drain() are for one thread.
class OrderedWorker {
 public:
  using Task = std::function<Status()>;

  explicit OrderedWorker(uint64_t max_weight);
  /// Waits for the task at hand; those behind it are dropped.
  ~OrderedWorker();
  OrderedWorker(const OrderedWorker&) = delete;
  OrderedWorker& operator=(const OrderedWorker&) = delete;

  /// Adds a task. A task heavier than the limit waits for an empty queue and then goes alone.
  /// Errors: the first error of an earlier task; then this one is not run.
  Status push(uint64_t weight, Task task);

  /// Waits until everything is done. Errors: the first of any task.
  Status drain();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace nibble
