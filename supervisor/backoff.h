// When something that failed may be started again: after a delay that doubles with every failure in
// a row, and never more often than so many times in a window. Pure: the caller brings time and
// chance. Milliseconds on whatever clock the caller has, so long as it never goes back.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace portunus::supervisor {

// How far chance moves a delay, to both sides, so that what failed together does not start together.
inline constexpr double kBackoffJitter = 0.2;

// Before the start that follows the n-th failure in a row (from 1; 0 = none, no delay). `chance` is
// from [0, 1). Never above `max_ms`, nor below 80 % of `min_ms`.
[[nodiscard]] inline std::uint64_t backoff_ms(std::uint32_t failures,
                                              std::uint64_t min_ms,
                                              std::uint64_t max_ms,
                                              double chance) {
  if (failures == 0) return 0;
  std::uint64_t delay = std::min(min_ms, max_ms);
  for (std::uint32_t i = 1; i < failures && delay != 0 && delay < max_ms; ++i)
    delay = delay > max_ms / 2 ? max_ms : delay * 2;
  const double factor = 1 - kBackoffJitter + 2 * kBackoffJitter * chance;
  return std::min(max_ms, static_cast<std::uint64_t>(static_cast<double>(delay) * factor));
}

// At most `most` starts in any window of time: remembers the last `most` ones.
class StormGuard {
 public:
  // `most` 0: no guard.
  StormGuard(std::uint32_t most, std::uint64_t window_ms) : window_ms_(window_ms), ring_(most) {}

  // When the next start may be: `now_ms`, or later.
  [[nodiscard]] std::uint64_t next_allowed(std::uint64_t now_ms) const {
    if (ring_.empty() || count_ < ring_.size()) return now_ms;
    return std::max(now_ms, ring_[next_] + window_ms_);  // the oldest leaves the window
  }
  [[nodiscard]] bool is_allowed(std::uint64_t now_ms) const {
    return next_allowed(now_ms) == now_ms;
  }
  // One is made now; also one that was not allowed, as a person's wish.
  void add(std::uint64_t now_ms) {
    if (ring_.empty()) return;
    ring_[next_] = now_ms;
    next_ = (next_ + 1) % ring_.size();
    count_ = std::min(count_ + 1, ring_.size());
  }
  void clear() {
    next_ = 0;
    count_ = 0;
  }
  // Those that are remembered, the oldest first: for add() of another guard.
  [[nodiscard]] std::vector<std::uint64_t> times_ms() const {
    const bool is_full = count_ == ring_.size();
    std::vector<std::uint64_t> times;
    times.reserve(count_);
    for (std::size_t i = 0; i < count_; ++i)
      times.push_back(ring_[((is_full ? next_ : 0) + i) % ring_.size()]);
    return times;
  }
  // Starts that are in the window still.
  [[nodiscard]] std::size_t in_window(std::uint64_t now_ms) const {
    const auto held = static_cast<std::ptrdiff_t>(count_);
    return static_cast<std::size_t>(std::count_if(
        ring_.begin(), ring_.begin() + held,
        [this, now_ms](std::uint64_t start_ms) { return start_ms + window_ms_ > now_ms; }));
  }

 private:
  std::uint64_t window_ms_;
  std::vector<std::uint64_t> ring_;
  std::size_t next_ = 0;  // to be written, and the oldest when the ring is full
  std::size_t count_ = 0;
};

}  // namespace portunus::supervisor
