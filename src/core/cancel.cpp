#include "core/cancel.h"

#include <atomic>

namespace nibble {
namespace {

std::atomic<int> cancelled_by{0};
static_assert(std::atomic<int>::is_always_lock_free, "the flag is set from signal handlers");

}  // namespace

void request_cancel(int signal_number) { cancelled_by.store(signal_number); }

void clear_cancel() { cancelled_by.store(0); }

int cancel_signal() { return cancelled_by.load(std::memory_order_relaxed); }

Status check_cancelled() {
  if (cancel_signal() == 0) return {};
  return Error(ErrorCode::kCancelled, "interrupted");
}

}  // namespace nibble
