// The human-readable log of the program: level, component, one line. Backed by spdlog
// (asynchronous, never blocks the caller; when its queue is full lines are dropped and counted).
// Not for the path of a request: per-request facts go to the access log. Any thread. Never log
// secrets.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <fmt/core.h>

namespace portunus::base {

enum class LogLevel : std::uint8_t { trace, debug, info, warn, error, off };

struct LogSettings {
  LogLevel level = LogLevel::info;
  bool json = false;
  std::string output = "stderr";   // stderr, stdout, or a file's path
  std::size_t queue_lines = 8192;  // that may wait for the writer; as the first call says
};

// Opens the output; false with a reason when the file cannot be opened. May be called again
// (reload).
bool start_log(const LogSettings& settings, std::string& reason);
// Opens the file anew (after a rotation).
void reopen_log();
// Writes what is queued and ends the writer; afterwards lines go straight to standard error.
void stop_log();
// Lines lost because the queue was full or the output refused them. Never goes down.
[[nodiscard]] std::uint64_t log_dropped();
void set_log_level(LogLevel level);
[[nodiscard]] bool is_logged(LogLevel level);
// `component` is a folder-like word: "config", "health", "proxy", "admin". Control characters in
// the text are escaped, so that a peer cannot forge lines.
void log_line(LogLevel level, std::string_view component, std::string_view text);
// A line that a replica of a service has written: the component is "service". As text it begins with
// "web/0: ", as JSON it has the fields `service` and `replica`.
void log_service_line(LogLevel level,
                      std::string_view service,
                      std::uint32_t replica,
                      std::string_view text);

template <typename... Args>
void log(LogLevel level,
         std::string_view component,
         fmt::format_string<Args...> format,
         Args&&... args) {
  if (!is_logged(level)) return;
  // allow(string): a line of the log, never on the path of a request
  log_line(level, component, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace portunus::base
