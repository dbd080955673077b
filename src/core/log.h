// Logging to stderr with levels, through spdlog; stdout belongs to results.
#pragma once

#include <fmt/format.h>

#include <string_view>

namespace nibble {

enum class LogLevel { kDebug, kInfo, kWarning, kError, kOff };

/// Sets the least level that is written (default kWarning; the commands choose). Any thread.
void set_log_level(LogLevel level);

/// Writes one line "[time] [level] [room] message" to stderr. Any thread.
void log_line(LogLevel level, std::string_view room, std::string_view message);

/// log(LogLevel::kInfo, "engine", "loaded {} layers", n)
template <typename... Args>
void log(LogLevel level, std::string_view room, fmt::format_string<Args...> format,
         Args&&... args) {
  log_line(level, room, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace nibble
