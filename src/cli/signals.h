// Ctrl-C and SIGTERM: the first asks the work to stop, the second ends the program at once.
#pragma once

namespace nibble {

/// Installs the handlers. Call once, before any thread is started.
void install_signal_handlers();

}  // namespace nibble
