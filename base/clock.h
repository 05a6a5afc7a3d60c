// Time types of the program. Durations and deadlines are on the monotonic clock; wall-clock time is
// for logs only. Any thread.
#pragma once

#include <chrono>
#include <cstdint>

namespace portunus::base {

using Milliseconds = std::chrono::milliseconds;

// Nanoseconds on the monotonic clock since an unspecified start.
[[nodiscard]] inline std::uint64_t monotonic_ns() {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(
                                        std::chrono::steady_clock::now().time_since_epoch())
                                        .count());
}
// Microseconds since 1970, UTC.
[[nodiscard]] inline std::uint64_t wall_us() {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(
                                        std::chrono::system_clock::now().time_since_epoch())
                                        .count());
}

}  // namespace portunus::base
