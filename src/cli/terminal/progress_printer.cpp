#include "cli/terminal/progress_printer.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "core/bytes.h"
#include "core/json.h"

namespace nibble {
namespace {

constexpr size_t kDefaultWidth = 80;
constexpr size_t kBarCells = 24;
constexpr double kBarInterval_s = 0.1;
constexpr double kLineInterval_s = 10.0;
constexpr double kLineFraction = 0.1;
constexpr double kQuietStart_s = 2.0;
constexpr double kJsonInterval_s = 1.0;

size_t terminal_width() {
  winsize size{};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return kDefaultWidth;
  return size.ws_col;
}

double fraction_of(const Progress& progress) {
  if (progress.total == 0) return 0.0;
  return std::min(1.0, static_cast<double>(progress.done) / static_cast<double>(progress.total));
}

std::string duration_text(double seconds) {
  const auto whole = static_cast<uint64_t>(std::lround(std::max(0.0, seconds)));
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{}:{:02} min", whole / 60, whole % 60);
  return fmt::format("{}:{:02} h", whole / 3600, whole / 60 % 60);
}

std::string json_text(const Progress& progress, double elapsed_s) {
  return dump_json_line({{"phase", progress.phase},
                         {"item", progress.item},
                         {"done", progress.done},
                         {"total", progress.total},
                         {"unit", progress.counts_bytes ? "bytes" : "items"},
                         {"elapsed_s", elapsed_s}});
}

std::string bar_text(const Progress& progress, double elapsed_s, size_t width) {
  const auto n_full = static_cast<size_t>(fraction_of(progress) * kBarCells);
  const std::string bar = width < 2 * kBarCells
                              ? std::string()
                              : fmt::format("[{:#<{}}{:<{}}] ", "", n_full, "", kBarCells - n_full);
  return bar + progress_text(progress, elapsed_s, width - std::min(width, bar.size()));
}

}  // namespace

std::string progress_text(const Progress& progress, double elapsed_s, size_t width) {
  const auto amount = [&](uint64_t n) {
    return progress.counts_bytes ? human_bytes(n) : fmt::format("{}", n);
  };
  std::string text =
      fmt::format("{} {:3.0f} %  {} / {}", progress.phase, 100.0 * fraction_of(progress),
                  amount(progress.done), progress.total == 0 ? "?" : amount(progress.total));
  if (elapsed_s > 0.5 && progress.done > 0) {
    const double rate = static_cast<double>(progress.done) / elapsed_s;
    text += progress.counts_bytes ? fmt::format("  {}/s", human_bytes(static_cast<uint64_t>(rate)))
                                  : fmt::format("  {:.1f}/s", rate);
    if (progress.total > progress.done) {
      const auto n_left = static_cast<double>(progress.total - progress.done);
      text += fmt::format("  {} left", duration_text(n_left / rate));
    }
  }
  if (!progress.item.empty()) text += "  " + progress.item;
  if (width > 0 && text.size() > width) text.resize(width);
  return text;
}

void ProgressPrinter::start_phase(const Progress& progress) {
  finish();
  phase_ = progress.phase;
  watch_.restart();
  last_shown_s_ = -kLineInterval_s;
  last_fraction_ = 0.0;
}

bool ProgressPrinter::is_due(const Progress& progress) const {
  const double waited_s = watch_.elapsed_s() - last_shown_s_;
  const bool done = progress.total > 0 && progress.done >= progress.total;
  switch (style_) {
    case ProgressStyle::kNone:
      return false;
    case ProgressStyle::kBar:
      return waited_s >= kBarInterval_s || done;
    case ProgressStyle::kLines:
      // Work that is over in a moment needs no lines.
      if (watch_.elapsed_s() < kQuietStart_s) return false;
      return waited_s >= kLineInterval_s ||
             fraction_of(progress) >= last_fraction_ + kLineFraction || done;
    case ProgressStyle::kJson:
      return waited_s >= kJsonInterval_s || done;
  }
  return false;
}

void ProgressPrinter::show(const Progress& progress) {
  if (style_ == ProgressStyle::kNone) return;
  if (phase_ != progress.phase || progress.done < last_done_) start_phase(progress);
  last_done_ = progress.done;
  if (!is_due(progress)) return;
  const double elapsed_s = watch_.elapsed_s();
  switch (style_) {
    case ProgressStyle::kBar:
      fmt::print(stderr, "\r{}\x1b[K", bar_text(progress, elapsed_s, terminal_width() - 1));
      std::fflush(stderr);
      bar_is_visible_ = true;
      break;
    case ProgressStyle::kLines:
      fmt::print(stderr, "{}\n", progress_text(progress, elapsed_s, 0));
      break;
    case ProgressStyle::kJson:
      fmt::print(stderr, "{}\n", json_text(progress, elapsed_s));
      break;
    case ProgressStyle::kNone:
      break;
  }
  last_shown_s_ = elapsed_s;
  last_fraction_ = fraction_of(progress);
}

void ProgressPrinter::finish() {
  if (bar_is_visible_) {
    fmt::print(stderr, "\r\x1b[K");
    std::fflush(stderr);
  }
  bar_is_visible_ = false;
  phase_.clear();
}

}  // namespace nibble
