// Plain values that several parts of the configuration have. See conf/model.h.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace portunus::conf {

using Milliseconds = std::chrono::milliseconds;

// Host and port as written. An IPv6 literal stands without brackets. A name is resolved later, not
// here.
struct Address {
  std::string host;  // empty = every local address (listeners only)
  std::uint16_t port = 0;
  friend bool operator==(const Address&, const Address&) = default;
};

}  // namespace portunus::conf
