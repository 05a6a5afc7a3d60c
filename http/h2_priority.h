// The Priority field of RFC 9218: how urgent an answer is, and whether a part of it is of use before
// the whole. Read from requests and PRIORITY_UPDATE by nghttp2 too; here because an answer may change
// it (section 8). Pure; any thread.
#pragma once

#include <cstdint>
#include <string_view>

namespace portunus::http {

struct H2Priority {
  std::uint8_t urgency = 3;  // 0, the most urgent, to 7
  bool is_incremental = false;

  friend bool operator==(const H2Priority&, const H2Priority&) = default;
};

// `before`, changed by what the field says; what it does not say, or not well, stays.
[[nodiscard]] H2Priority read_priority(std::string_view field, H2Priority before);

}  // namespace portunus::http
