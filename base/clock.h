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
inline constexpr std::uint64_t kNsPerMs = 1'000'000;

[[nodiscard]] inline std::uint64_t monotonic_ms() {
  return monotonic_ns() / kNsPerMs;
}
// Of two times; 0 when they are not in this order.
[[nodiscard]] constexpr std::uint64_t between(std::uint64_t from, std::uint64_t to) {
  return to > from ? to - from : 0;
}
// Of a duration that is not negative.
[[nodiscard]] inline std::uint64_t whole_ms(Milliseconds duration) {
  return static_cast<std::uint64_t>(duration.count() < 0 ? 0 : duration.count());
}
// Microseconds since 1970, UTC.
[[nodiscard]] inline std::uint64_t wall_us() {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(
                                        std::chrono::system_clock::now().time_since_epoch())
                                        .count());
}

}  // namespace portunus::base
