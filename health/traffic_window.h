// How many requests of a member have ended within the last so many seconds, and how: a ring of ten
// parts of the window, of which the oldest is dropped when a new one begins. Pure: the clock is the
// caller's. Control thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace portunus::health {

struct TrafficCounts {
  std::uint64_t done = 0;
  std::uint64_t failed = 0;
  std::uint64_t slow = 0;

  TrafficCounts& operator+=(const TrafficCounts& other) {
    done += other.done;
    failed += other.failed;
    slow += other.slow;
    return *this;
  }
  friend TrafficCounts operator-(TrafficCounts a, const TrafficCounts& b) {
    return {a.done - b.done, a.failed - b.failed, a.slow - b.slow};
  }
  [[nodiscard]] double failure_ratio() const {
    return done == 0 ? 0 : static_cast<double>(failed) / static_cast<double>(done);
  }
  friend bool operator==(const TrafficCounts&, const TrafficCounts&) = default;
};

class TrafficWindow {
 public:
  static constexpr std::size_t kParts = 10;

  // What has come since the last call; `length_ms` at least kParts. Time never goes back.
  void add(const TrafficCounts& counts, std::uint64_t now_ms, std::uint64_t length_ms) {
    const std::uint64_t part = now_ms / (length_ms / kParts);
    const std::uint64_t passed = part > part_ ? part - part_ : 0;
    for (std::uint64_t i = 1; i <= passed && i <= kParts; ++i)
      parts_[(part_ + i) % kParts] = {};
    part_ += passed;
    parts_[part_ % kParts] += counts;
  }
  void clear() { parts_ = {}; }
  [[nodiscard]] TrafficCounts sum() const {
    TrafficCounts all;
    for (const TrafficCounts& part : parts_)
      all += part;
    return all;
  }

 private:
  std::array<TrafficCounts, kParts> parts_{};
  std::uint64_t part_ = 0;
};

}  // namespace portunus::health
