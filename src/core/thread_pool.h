// A fixed set of threads that run one job together, phase by phase, without allocating.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>

namespace nibble {

/// Runs jobs on `n_threads` threads, the caller being one of them. One job at a time: run and
/// parallel_for may be called from one thread only, and not from inside a job.
/// Waiting threads spin for some microseconds, then sleep.
class ThreadPool {
 public:
  /// n_threads 0 means one per processor that this process may use. Where the system refuses so
  /// many, the pool has as many as it got.
  explicit ThreadPool(size_t n_threads = 0);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  size_t n_threads() const { return n_threads_; }

  /// Calls job(thread_index) once on every thread and returns when all have finished.
  void run(const std::function<void(size_t)>& job);

  /// Calls body(begin, end) for disjoint ranges that cover [0, n), each a multiple of `grain` long
  /// but the last. Ranges are handed out statically first, so equal work stays on the same thread.
  void parallel_for(size_t n, size_t grain, const std::function<void(size_t, size_t)>& body);

 private:
  struct State;
  size_t n_threads_;
  std::unique_ptr<State> state_;
};

/// Processors that this process may use (affinity mask), at least 1.
size_t available_processors();

}  // namespace nibble
