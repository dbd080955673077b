// Shows Progress on stderr: a bar on a terminal, lines elsewhere, JSON lines for machines.
#pragma once

#include <string>

#include "core/clock.h"
#include "core/progress.h"

namespace nibble {

enum class ProgressStyle { kNone, kBar, kLines, kJson };

/// One piece of work at a time; a new phase, or falling back, starts anew. Used by one thread at a
/// time.
class ProgressPrinter {
 public:
  explicit ProgressPrinter(ProgressStyle style) : style_(style) {}
  ~ProgressPrinter() { finish(); }
  ProgressPrinter(const ProgressPrinter&) = delete;
  ProgressPrinter& operator=(const ProgressPrinter&) = delete;

  void show(const Progress& progress);

  /// Removes the bar; call before writing anything else to the terminal.
  void finish();

 private:
  void start_phase(const Progress& progress);
  bool is_due(const Progress& progress) const;

  ProgressStyle style_;
  std::string phase_;
  Stopwatch watch_;           // since the phase began
  double last_shown_s_ = 0;   // on watch_
  double last_fraction_ = 0;  // shown last
  uint64_t last_done_ = 0;
  bool bar_is_visible_ = false;
};

/// One line for people: "quantize   41 %  1.2 GB / 2.9 GB  310 MB/s  5 s left  layers.3.mlp..."
/// without the bar, at most `width` bytes where width > 0.
std::string progress_text(const Progress& progress, double elapsed_s, size_t width);

}  // namespace nibble
