#include "base/log.h"

#include <spdlog/async_logger.h>
#include <spdlog/details/thread_pool.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "base/clock.h"
#include "base/log_sink.h"
#include "base/output_file.h"

namespace portunus::base {
namespace {

constexpr std::size_t kQueueLines = 8192;
constexpr std::uint64_t kStopNs = 2'000'000'000;

// Until start_log() lines of these levels go straight to standard error.
std::atomic<LogLevel> g_level{LogLevel::info};
// Null while the log is not started. What it points at is never destroyed: another thread may be in
// the middle of a line.
std::atomic<spdlog::async_logger*> g_logger{nullptr};

struct Backend {
  std::mutex mutex;  // of start, reopen and stop; never taken by a line
  std::shared_ptr<spdlog::details::thread_pool> pool;
  std::shared_ptr<LogSink> sink;
  std::vector<std::shared_ptr<spdlog::async_logger>> loggers;
  std::atomic<std::uint64_t> dropped_before{0};  // by writers that have ended
};

Backend& backend() {
  static auto* const instance = new Backend;  // NOLINT: outlives every thread, hence no destructor
  return *instance;
}

void write_directly(LogLevel level, std::string_view component, std::string_view text) {
  std::string line;
  render_text({level, wall_us(), component, text}, line);
  // A failure to log is not worth more than the lost line.
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace

bool start_log(const LogSettings& settings, std::string& reason) {
  Backend& state = backend();
  const std::scoped_lock lock(state.mutex);
  const auto sink = state.sink != nullptr ? state.sink : std::make_shared<LogSink>();
  if (!sink->output().open(settings.output, reason)) return false;
  sink->set_json(settings.json);
  g_level.store(settings.level, std::memory_order_relaxed);
  if (state.sink != nullptr) return true;

  state.sink = sink;
  state.pool = std::make_shared<spdlog::details::thread_pool>(kQueueLines, 1, block_signals);
  state.loggers.push_back(std::make_shared<spdlog::async_logger>(
      "portunus", sink, state.pool, spdlog::async_overflow_policy::overrun_oldest));
  spdlog::async_logger& logger = *state.loggers.back();
  logger.set_level(spdlog::level::trace);
  logger.set_error_handler([](const std::string&) {});
  g_logger.store(&logger, std::memory_order_release);
  return true;
}

void reopen_log() {
  Backend& state = backend();
  const std::scoped_lock lock(state.mutex);
  std::string reason;
  if (state.sink != nullptr && !state.sink->output().reopen(reason)) {
    log_line(LogLevel::error, "log", reason);
  }
}

void stop_log() {
  Backend& state = backend();
  const std::scoped_lock lock(state.mutex);
  if (state.sink == nullptr) return;
  g_logger.store(nullptr, std::memory_order_release);
  state.sink->output().give_up_at(monotonic_ns() + kStopNs);
  const auto overrun = state.pool->overrun_counter();
  state.pool.reset();  // writes what is queued, then ends the thread
  state.dropped_before.fetch_add(overrun + state.sink->lost(), std::memory_order_relaxed);
  state.sink.reset();
}

std::uint64_t log_dropped() {
  Backend& state = backend();
  const std::scoped_lock lock(state.mutex);
  std::uint64_t dropped = state.dropped_before.load(std::memory_order_relaxed);
  if (state.sink != nullptr) dropped += state.pool->overrun_counter() + state.sink->lost();
  return dropped;
}

void set_log_level(LogLevel level) { g_level.store(level, std::memory_order_relaxed); }

bool is_logged(LogLevel level) {
  return level >= g_level.load(std::memory_order_relaxed) && level != LogLevel::off;
}

void log_line(LogLevel level, std::string_view component, std::string_view text) {
  if (!is_logged(level)) return;
  spdlog::async_logger* const logger = g_logger.load(std::memory_order_acquire);
  if (logger == nullptr) {
    write_directly(level, component, text);
    return;
  }
  fmt::memory_buffer payload;
  payload.append(component.data(), component.data() + component.size());
  payload.push_back('\0');
  payload.append(text.data(), text.data() + text.size());
  logger->log(static_cast<spdlog::level::level_enum>(level),
              spdlog::string_view_t(payload.data(), payload.size()));
}

}  // namespace portunus::base
