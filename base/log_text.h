// A line of the log as text or as JSON. For the log's writer thread, and for lines that are written
// before it runs. Any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/log.h"

namespace portunus::base {

struct LogLine {
  LogLevel level = LogLevel::info;
  std::uint64_t wall_us = 0;
  std::string_view component;
  std::string_view text;
  std::string_view service;   // that wrote the text; empty = the program itself did
  std::uint32_t replica = 0;  // of the service
};

// With a newline at the end; control characters and what is not UTF-8 are escaped.
void append_as_text(const LogLine& line, std::string& out);
void append_as_json(const LogLine& line, std::string& out);

}  // namespace portunus::base
