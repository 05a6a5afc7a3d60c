// What TrafficJudge keeps of each member and of each pool. Included by its two sources only.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "health/traffic_judge.h"
#include "health/traffic_window.h"

namespace portunus::health {

inline constexpr std::uint64_t kNever = ~std::uint64_t{0};

inline constexpr const char* kPassiveCause = "passive";
inline constexpr const char* kBreakerCause = "breaker";

// Counters of 32 bits that wrap.
[[nodiscard]] inline std::uint32_t take(const std::atomic<std::uint32_t>& counter,
                                        std::uint32_t& seen) {
  const std::uint32_t now = counter.load(std::memory_order_relaxed);
  return now - std::exchange(seen, now);
}

[[nodiscard]] inline std::uint64_t length_of(const conf::Milliseconds& time) {
  return static_cast<std::uint64_t>(time.count());
}

struct TrafficJudge::Record {
  std::shared_ptr<Member> member;
  Pool* pool = nullptr;
  Ejection ejection;
  Suspension breaker;
  TrafficWindow passive_window;
  TrafficWindow breaker_window;
  TrafficStatus status;
  struct Seen {
    std::uint32_t done = 0;
    std::uint32_t failed = 0;
    std::uint32_t slow = 0;
    std::uint32_t trials_good = 0;
    std::uint32_t trials_bad = 0;
  } seen;

  [[nodiscard]] bool is_free() const {
    return ejection.suspension().phase() == Suspension::Phase::in &&
           breaker.phase() == Suspension::Phase::in;
  }
  // When the time of what holds it is over.
  [[nodiscard]] std::uint64_t next_ms() const {
    if (is_free()) return kNever;
    return breaker.phase() == Suspension::Phase::in ? ejection.suspension().until_ms()
                                                    : breaker.until_ms();
  }
};

struct TrafficJudge::Pool {
  conf::Passive passive;
  conf::CircuitBreaker breaker;
  bool is_probed = true;
  bool is_watched = false;
  std::vector<std::unique_ptr<Record>> records;
};

}  // namespace portunus::health
