// The circuit breaker of one member: when it opens. Pure. Control thread.
//
//   closed     Phase::in     opens by: the share of failures in the window, failures in a row, answers
//                            that are too slow
//   open       Phase::out    for `open_for`
//   half-open  Phase::trial  `half_open_requests` try it: one failure opens it again, all good close it
#pragma once

#include "conf/model_pools.h"
#include "health/suspension.h"
#include "health/traffic_window.h"

namespace portunus::health {

// The words of portunus_circuit_breaker_trips_total.
enum class BreakerTrip : std::uint8_t { none, failure_ratio, consecutive_failures, latency, trial };
inline constexpr std::size_t kBreakerTripCount = 5;

[[nodiscard]] constexpr const char* name_of(BreakerTrip trip) {
  switch (trip) {
    case BreakerTrip::none:
      return "";
    case BreakerTrip::failure_ratio:
      return "failure_ratio";
    case BreakerTrip::consecutive_failures:
      return "consecutive_failures";
    case BreakerTrip::latency:
      return "latency";
    case BreakerTrip::trial:
      return "trial";
  }
  return "";
}

// The words of portunus_circuit_breaker_state.
[[nodiscard]] constexpr const char* breaker_word(Suspension::Phase phase) {
  switch (phase) {
    case Suspension::Phase::in:
      return "closed";
    case Suspension::Phase::out:
      return "open";
    case Suspension::Phase::trial:
      return "half_open";
  }
  return "";
}

// One of a hundred answers is nothing to be seen in fewer.
inline constexpr std::uint64_t kLatencyVolumeMin = 100;

// Why a closed breaker should open; `none` = it should not.
[[nodiscard]] constexpr BreakerTrip look_at(const conf::CircuitBreaker& rule,
                                            const TrafficCounts& window,
                                            std::uint32_t failures_in_row) {
  if (rule.consecutive_failures != 0 && failures_in_row >= rule.consecutive_failures)
    return BreakerTrip::consecutive_failures;
  if (window.done < rule.min_requests) return BreakerTrip::none;
  if (rule.failure_ratio > 0 && window.failure_ratio() >= rule.failure_ratio)
    return BreakerTrip::failure_ratio;
  if (rule.latency_p99.count() > 0 && window.done >= kLatencyVolumeMin &&
      window.slow * 100 > window.done)
    return BreakerTrip::latency;
  return BreakerTrip::none;
}

}  // namespace portunus::health
