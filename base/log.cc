#include "base/log.h"

#include <fmt/format.h>
#include <spdlog/async_logger.h>
#include <spdlog/details/thread_pool.h>
#include <spdlog/sinks/base_sink.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/log_text.h"
#include "base/output_file.h"

namespace portunus::base {
namespace {

constexpr std::uint64_t kStopNs = 2'000'000'000;

// Until start_log() lines of these levels go straight to standard error.
std::atomic<LogLevel> g_level{LogLevel::info};
// Null while the log is not started. What it points at is never destroyed: another thread may be in
// the middle of a line.
std::atomic<spdlog::async_logger*> g_logger{nullptr};

// The end of the log, on spdlog's thread; output() and set_json() are for any thread.
class LogSink final : public spdlog::sinks::base_sink<spdlog::details::null_mutex> {
 public:
  [[nodiscard]] OutputFile& output() { return output_; }
  void set_json(bool is_json) { is_json_.store(is_json, std::memory_order_relaxed); }
  // Lines that the output refused.
  [[nodiscard]] std::uint64_t lost() const { return lost_.load(std::memory_order_relaxed); }

 protected:
  // See post().
  void sink_it_(const spdlog::details::log_msg& message) override {
    std::string_view rest{message.payload.data(), message.payload.size()};
    const auto next = [&rest] {
      const std::size_t null = std::min(rest.find('\0'), rest.size());
      const std::string_view part = rest.substr(0, null);
      rest.remove_prefix(std::min(null + 1, rest.size()));
      return part;
    };
    const auto since_1970 = message.time.time_since_epoch();
    LogLine line;
    line.level = static_cast<LogLevel>(message.level);  // log_line() passed it on as a number
    line.wall_us = static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::microseconds>(since_1970).count());
    line.component = next();
    line.service = next();
    const std::string_view replica = next();
    std::from_chars(replica.data(), replica.data() + replica.size(), line.replica);
    line.text = rest;
    line_.clear();
    if (is_json_.load(std::memory_order_relaxed)) {
      append_as_json(line, line_);
    } else {
      append_as_text(line, line_);
    }
    if (output_.write(line_) < line_.size()) lost_.fetch_add(1, std::memory_order_relaxed);
  }
  void flush_() override {}

 private:
  OutputFile output_;
  std::atomic<bool> is_json_{false};
  std::atomic<std::uint64_t> lost_{0};
  std::string line_;
};

template <typename T>
using Shared = std::shared_ptr<T>;  // allow(shared_ptr): spdlog's interface wants them
template <typename T, typename... Args>
Shared<T> share(Args&&... args) {
  return std::make_shared<T>(std::forward<Args>(args)...);  // allow(shared_ptr): the same
}

using Mutex = std::mutex;               // allow(lock): of start, reopen and stop, never of a line
using Guard = std::scoped_lock<Mutex>;  // allow(lock): the same

struct Writer {
  Mutex mutex;
  Shared<spdlog::details::thread_pool> pool;
  Shared<LogSink> sink;
  std::vector<Shared<spdlog::async_logger>> loggers;
  std::atomic<std::uint64_t> dropped_before{0};  // by writers that have ended
};

Writer& writer() {
  static auto* const instance = new Writer;  // outlives every thread: no destructor
  return *instance;
}

void write_directly(const LogLine& what) {
  std::string line;
  append_as_text(what, line);
  // A failure to log is not worth more than the lost line.
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
}

// To the writer, as component, service, replica and text with a null behind each but the last.
void post(const LogLine& line) {
  spdlog::async_logger* const logger = g_logger.load(std::memory_order_acquire);
  if (logger == nullptr) {
    write_directly(line);
    return;
  }
  fmt::memory_buffer payload;
  const fmt::format_int replica(line.replica);
  for (const std::string_view part :
       {line.component, line.service, std::string_view(replica.data(), replica.size())}) {
    payload.append(part.data(), part.data() + part.size());
    payload.push_back('\0');
  }
  payload.append(line.text.data(), line.text.data() + line.text.size());
  logger->log(static_cast<spdlog::level::level_enum>(line.level),
              spdlog::string_view_t(payload.data(), payload.size()));
}

}  // namespace

bool start_log(const LogSettings& settings, std::string& reason) {
  Writer& state = writer();
  const Guard guard(state.mutex);
  const auto sink = state.sink != nullptr ? state.sink : share<LogSink>();
  if (!sink->output().open(settings.output, reason)) return false;
  sink->set_json(settings.json);
  g_level.store(settings.level, std::memory_order_relaxed);
  if (state.sink != nullptr) return true;

  state.sink = sink;
  state.pool = share<spdlog::details::thread_pool>(settings.queue_lines, 1, block_signals);
  state.loggers.push_back(share<spdlog::async_logger>(
      "portunus", sink, state.pool, spdlog::async_overflow_policy::overrun_oldest));
  spdlog::async_logger& logger = *state.loggers.back();
  logger.set_level(spdlog::level::trace);
  logger.set_error_handler([](const std::string&) {});
  g_logger.store(&logger, std::memory_order_release);
  return true;
}

void reopen_log() {
  Writer& state = writer();
  const Guard guard(state.mutex);
  std::string reason;
  if (state.sink != nullptr && !state.sink->output().reopen(reason)) {
    log_line(LogLevel::error, "log", reason);
  }
}

void stop_log() {
  Writer& state = writer();
  const Guard guard(state.mutex);
  if (state.sink == nullptr) return;
  g_logger.store(nullptr, std::memory_order_release);
  state.sink->output().give_up_at(monotonic_ns() + kStopNs);
  const auto overrun = state.pool->overrun_counter();
  state.pool.reset();  // writes what is queued, then ends the thread
  state.dropped_before.fetch_add(overrun + state.sink->lost(), std::memory_order_relaxed);
  state.sink.reset();
}

std::uint64_t log_dropped() {
  Writer& state = writer();
  const Guard guard(state.mutex);
  std::uint64_t dropped = state.dropped_before.load(std::memory_order_relaxed);
  if (state.sink != nullptr) dropped += state.pool->overrun_counter() + state.sink->lost();
  return dropped;
}

void set_log_level(LogLevel level) {
  g_level.store(level, std::memory_order_relaxed);
}

bool is_logged(LogLevel level) {
  return level >= g_level.load(std::memory_order_relaxed) && level != LogLevel::off;
}

void log_line(LogLevel level, std::string_view component, std::string_view text) {
  if (!is_logged(level)) return;
  post({level, wall_us(), component, text, {}, 0});
}

void log_service_line(LogLevel level,
                      std::string_view service,
                      std::uint32_t replica,
                      std::string_view text) {
  if (!is_logged(level)) return;
  post({level, wall_us(), "service", text, service, replica});
}

}  // namespace portunus::base
