// The one process-wide "please stop" flag: signal handlers set it, long work polls it.
#pragma once

#include "core/result.h"

namespace nibble {

/// Marks the work as cancelled by `signal_number`. Async-signal-safe.
void request_cancel(int signal_number);

/// Clears the flag (chat does, after Ctrl-C has stopped one answer).
void clear_cancel();

/// The signal that asked for it, or 0. Cheap enough for inner loops.
int cancel_signal();

/// kCancelled if a stop was asked for.
Status check_cancelled();

}  // namespace nibble
