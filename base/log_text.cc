#include "base/log_text.h"

#include <fmt/format.h>

#include <ctime>

#include <algorithm>
#include <array>

#include "base/json_writer.h"
#include "base/utf8.h"

namespace portunus::base {
namespace {

constexpr std::size_t kTextMax = std::size_t{8} * 1024;
constexpr std::size_t kComponentMax = 64;

std::string_view name_of(LogLevel level) {
  switch (level) {
    case LogLevel::trace:
      return "trace";
    case LogLevel::debug:
      return "debug";
    case LogLevel::info:
      return "info";
    case LogLevel::warn:
      return "warning";
    case LogLevel::error:
      return "error";
    case LogLevel::off:
      break;
  }
  return "off";
}

// RFC 3339, UTC, milliseconds.
std::string_view time_text(std::uint64_t wall_us, std::array<char, 32>& out) {
  const auto seconds = static_cast<std::time_t>(wall_us / 1'000'000);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  std::size_t size = std::strftime(out.data(), out.size(), "%Y-%m-%dT%H:%M:%S.", &parts);
  const auto millis = static_cast<unsigned>(wall_us / 1000 % 1000);
  for (const unsigned digit : {millis / 100, millis / 10 % 10, millis % 10}) {
    out[size++] = static_cast<char>('0' + digit);
  }
  out[size++] = 'Z';
  return {out.data(), size};
}

void append_visible(std::string_view text, std::string& out) {
  constexpr char kDigits[] = "0123456789abcdef";
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at < end) {
    const std::size_t length = utf8_length(at, end);
    const auto byte = static_cast<unsigned char>(*at);
    if (length == 0 || byte < 0x20 || byte == 0x7f || is_c1_control(at, length)) {
      for (std::size_t i = 0; i < std::max<std::size_t>(length, 1); ++i) {
        const auto part = static_cast<unsigned char>(at[i]);
        const char escape[4] = {'\\', 'x', kDigits[part >> 4], kDigits[part & 15]};
        out.append(escape, 4);
      }
    } else {
      out.append(at, length);
    }
    at += std::max<std::size_t>(length, 1);
  }
}

}  // namespace

void append_as_text(const LogLine& line, std::string& out) {
  std::array<char, 32> time{};
  out.append(time_text(line.wall_us, time));
  out.push_back(' ');
  const std::string_view level = name_of(line.level);
  out.append(level);
  out.append(8 - level.size(), ' ');
  append_visible(line.component.substr(0, kComponentMax), out);
  out.append(": ");
  if (!line.service.empty()) {
    append_visible(line.service.substr(0, kComponentMax), out);
    out.push_back('/');
    const fmt::format_int replica(line.replica);
    out.append(replica.data(), replica.size());
    out.append(": ");
  }
  append_visible(line.text.substr(0, kTextMax), out);
  out.push_back('\n');
}

void append_as_json(const LogLine& line, std::string& out) {
  std::array<char, 32> time{};
  // Escaping makes one byte into six at most.
  std::array<char, 6 * (kTextMax + 2 * kComponentMax) + 256> buffer;
  JsonWriter writer(buffer.data(), buffer.size());
  writer.open_object();
  writer.text("time", time_text(line.wall_us, time));
  writer.text("level", name_of(line.level));
  writer.text("component", line.component.substr(0, kComponentMax));
  if (!line.service.empty()) {
    writer.text("service", line.service.substr(0, kComponentMax));
    writer.number("replica", line.replica);
  }
  writer.text("message", line.text.substr(0, kTextMax));
  writer.close_object();
  writer.raw("\n");
  out.append(writer.view());
}

}  // namespace portunus::base
