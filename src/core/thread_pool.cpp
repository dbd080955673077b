#include "core/thread_pool.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <system_error>
#include <thread>
#include <vector>

namespace nibble {
namespace {

// Spinning covers the gap between two phases of a forward pass; longer waits sleep in the kernel.
constexpr int kSpins = 4000;

void pause_processor() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

template <typename T>
void wait_while_equal(const std::atomic<T>& value, T old) {
  for (int i = 0; i < kSpins; ++i) {
    if (value.load(std::memory_order_acquire) != old) return;
    pause_processor();
  }
  while (value.load(std::memory_order_acquire) == old) value.wait(old, std::memory_order_acquire);
}

}  // namespace

size_t available_processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) == 0) {
    const int n = CPU_COUNT(&set);
    if (n > 0) return static_cast<size_t>(n);
  }
  return std::max<size_t>(1, std::thread::hardware_concurrency());
}

struct ThreadPool::State {
  std::atomic<uint32_t> generation{0};
  std::atomic<uint32_t> n_running{0};
  std::atomic<bool> stopping{false};
  const std::function<void(size_t)>* job = nullptr;
  std::vector<std::thread> threads;

  void work(size_t index) {
    uint32_t seen = 0;
    while (true) {
      wait_while_equal(generation, seen);
      seen = generation.load(std::memory_order_acquire);
      if (stopping.load(std::memory_order_acquire)) return;
      (*job)(index);
      if (n_running.fetch_sub(1, std::memory_order_acq_rel) == 1) n_running.notify_one();
    }
  }
};

ThreadPool::ThreadPool(size_t n_threads)
    : n_threads_(n_threads == 0 ? available_processors() : n_threads),
      state_(std::make_unique<State>()) {
  try {
    state_->threads.reserve(n_threads_ - 1);
    for (size_t i = 1; i < n_threads_; ++i) {
      state_->threads.emplace_back([this, i] { state_->work(i); });
    }
  } catch (const std::system_error&) {
    // A limit on processes or tasks: fewer threads do the same work.
    n_threads_ = state_->threads.size() + 1;
  }
}

ThreadPool::~ThreadPool() {
  state_->stopping.store(true, std::memory_order_release);
  state_->generation.fetch_add(1, std::memory_order_acq_rel);
  state_->generation.notify_all();
  for (std::thread& thread : state_->threads) thread.join();
}

void ThreadPool::run(const std::function<void(size_t)>& job) {
  if (n_threads_ == 1) {
    job(0);
    return;
  }
  state_->job = &job;
  state_->n_running.store(static_cast<uint32_t>(n_threads_ - 1), std::memory_order_release);
  state_->generation.fetch_add(1, std::memory_order_acq_rel);
  state_->generation.notify_all();
  job(0);
  for (uint32_t left = state_->n_running.load(std::memory_order_acquire); left != 0;
       left = state_->n_running.load(std::memory_order_acquire)) {
    wait_while_equal(state_->n_running, left);
  }
}

void ThreadPool::parallel_for(size_t n, size_t grain,
                              const std::function<void(size_t, size_t)>& body) {
  if (n == 0) return;
  grain = std::max<size_t>(1, grain);
  const size_t n_grains = (n + grain - 1) / grain;
  if (n_threads_ == 1 || n_grains == 1) {
    body(0, n);
    return;
  }
  run([&](size_t index) {
    const size_t begin = n_grains * index / n_threads_ * grain;
    const size_t end = std::min(n, n_grains * (index + 1) / n_threads_ * grain);
    if (begin < end) body(begin, end);
  });
}

}  // namespace nibble
