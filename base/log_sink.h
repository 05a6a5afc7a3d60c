// The end of the log: renders queued lines as text or JSON and writes them. Lives on spdlog's thread
// (sink_it_ and what it calls); open(), reopen() and set_json() are for any thread. Only log.cc and its
// test include it, because it drags spdlog in.
#pragma once

#include <spdlog/sinks/base_sink.h>

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/log.h"
#include "base/output_file.h"

namespace portunus::base {

class LogSink final : public spdlog::sinks::base_sink<spdlog::details::null_mutex> {
 public:
  [[nodiscard]] OutputFile& output() { return output_; }
  void set_json(bool is_json) { is_json_.store(is_json, std::memory_order_relaxed); }
  // Lines that the output refused.
  [[nodiscard]] std::uint64_t lost() const { return lost_.load(std::memory_order_relaxed); }

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override;
  void flush_() override {}

 private:
  OutputFile output_;
  std::atomic<bool> is_json_{false};
  std::atomic<std::uint64_t> lost_{0};
  std::string line_;
};

struct LogLine {
  LogLevel level = LogLevel::info;
  std::uint64_t wall_us = 0;
  std::string_view component;
  std::string_view text;
};

// With a newline at the end; control characters and what is not UTF-8 are escaped.
void render_text(const LogLine& line, std::string& out);
void render_json(const LogLine& line, std::string& out);

}  // namespace portunus::base
