// Passive ejection (outlier detection) of one member: when, and for how long. Pure. Control thread.
//
// The n-th ejection lasts n times `eject_for`; n falls by one for each `eject_for` that the member has
// been back without another. Failed connections of a member that is probed are another matter: its
// process has most probably ended or starts anew, and a probe will say so. Such an ejection lasts 1 s, 2
// s, 4 s and so on, and one that a probe takes out on its own account is forgotten.
//
// Against nginx (max_fails within fail_timeout, then back with all of its traffic; no cap), HAProxy
// (observe with on-error; no growth, no cap), Envoy (growth and cap, but a member comes back with its
// whole traffic, and 10 % of a pool of three is nobody): growth, cap, never the last member, and one
// request that tries it before the others follow.
#pragma once

#include <algorithm>
#include <cstdint>

#include "conf/model_pools.h"
#include "health/suspension.h"
#include "health/traffic_window.h"

namespace portunus::health {

inline constexpr std::uint32_t kEjectionTrials = 1;

class Ejection {
 public:
  [[nodiscard]] const Suspension& suspension() const { return suspension_; }

  // How long it is put out. `is_probes_matter`: see above.
  std::uint64_t eject(const conf::Passive& rule, bool is_probes_matter, std::uint64_t now_ms) {
    forgive(rule, now_ms);
    if (times_ < kTimesMax) ++times_;
    const auto base = static_cast<std::uint64_t>(rule.eject_for.count());
    const auto most = static_cast<std::uint64_t>(rule.max_eject_for.count());
    std::uint64_t for_ms = std::min(base * times_, most);
    if (is_probes_matter) {
      const std::uint64_t quick = std::uint64_t{kQuickMs} << std::min(times_ - 1, kDoublingsMax);
      for_ms = std::min({quick, base, most});
    }
    suspension_.put_out(now_ms, for_ms);
    return for_ms;
  }
  // As it was in a process before this one.
  void resume(std::uint32_t times, std::uint64_t for_ms, std::uint64_t now_ms) {
    times_ = std::min(times, kTimesMax);
    suspension_.put_out(now_ms, for_ms);
  }
  [[nodiscard]] std::uint32_t times() const { return times_; }
  [[nodiscard]] bool on_time(std::uint64_t now_ms) {
    return suspension_.on_time(now_ms, kEjectionTrials);
  }
  [[nodiscard]] bool is_stuck(std::uint64_t now_ms) { return suspension_.is_stuck(now_ms); }
  [[nodiscard]] bool on_good(std::uint32_t count, std::uint64_t now_ms) {
    if (!suspension_.on_good(count)) return false;
    back_since_ms_ = now_ms;
    return true;
  }
  // Nothing is held against it any more.
  void clear() {
    suspension_.clear();
    times_ = 0;
  }

 private:
  static constexpr std::uint32_t kTimesMax = 1'000;
  static constexpr std::uint32_t kQuickMs = 1'000;
  static constexpr std::uint32_t kDoublingsMax = 20;

  void forgive(const conf::Passive& rule, std::uint64_t now_ms) {
    if (suspension_.phase() != Suspension::Phase::in || now_ms < back_since_ms_) return;
    const auto step = static_cast<std::uint64_t>(rule.eject_for.count());
    const std::uint64_t steps = (now_ms - back_since_ms_) / std::max<std::uint64_t>(step, 1);
    times_ -= static_cast<std::uint32_t>(std::min<std::uint64_t>(steps, times_));
  }

  Suspension suspension_;
  std::uint64_t back_since_ms_ = 0;
  std::uint32_t times_ = 0;  // in a row
};

// Whether the member fails so much more often than the others of its pool together.
[[nodiscard]] constexpr bool is_outlier(const conf::Passive& rule,
                                        const TrafficCounts& its,
                                        const TrafficCounts& others) {
  return rule.excess_ratio > 0 && its.done >= rule.min_requests &&
         others.done >= rule.min_requests &&
         its.failure_ratio() - others.failure_ratio() >= rule.excess_ratio;
}

}  // namespace portunus::health
