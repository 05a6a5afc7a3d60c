// What changes about one member while the program runs, shared by all threads: state, requests in
// flight, connections. One object per (pool, address); it survives generations, so that counters,
// health and connections outlive a reload. Relaxed atomics, laid out against false sharing: the
// control thread writes the first line, data-plane threads the second. Owned by shared_ptr on the
// control side and by member lists.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <utility>

#include "health/conduct.h"
#include "net/address.h"

namespace portunus::health {

// The words of the metrics and of the API (NAMES.md).
enum class MemberState : std::uint8_t { starting, up, down, ejected, draining, maintenance };
inline constexpr std::size_t kMemberStateCount = 6;

[[nodiscard]] constexpr const char* name_of(MemberState state) {
  switch (state) {
    case MemberState::starting:
      return "starting";
    case MemberState::up:
      return "up";
    case MemberState::down:
      return "down";
    case MemberState::ejected:
      return "ejected";
    case MemberState::draining:
      return "draining";
    case MemberState::maintenance:
      return "maintenance";
  }
  return "";
}

// What the supervisor wants of a member that is a replica: `drain` before its process ends.
enum class MemberDuty : std::uint8_t { serve, drain };

// What an operator wants of it. Independent of the duty: neither takes back what the other has asked
// for. `disabled` is maintenance: it is not probed either.
enum class AdminState : std::uint8_t { enabled, drained, disabled };

// What is published: a member that drains takes no new request, up or not; nor does one that is up and
// that traffic has put out.
[[nodiscard]] constexpr MemberState combine(AdminState admin,
                                            MemberDuty duty,
                                            MemberState verdict,
                                            bool is_out) {
  if (admin == AdminState::disabled) return MemberState::maintenance;
  if (admin == AdminState::drained || duty == MemberDuty::drain) return MemberState::draining;
  return verdict == MemberState::up && is_out ? MemberState::ejected : verdict;
}

// Member::share of one that has all of its weight.
inline constexpr std::uint32_t kFullShare = 1024;

struct Member {
  Member(std::string pool_name, std::string member_name, net::Address member_address)
      : pool(std::move(pool_name)), name(std::move(member_name)), address(member_address) {}
  Member(const Member&) = delete;
  Member& operator=(const Member&) = delete;
  ~Member() = default;

  // It is up, and traffic has nothing against it. Any thread.
  [[nodiscard]] bool is_healthy() const {
    return state.load(std::memory_order_relaxed) == MemberState::up && trials.is_any_left();
  }
  // New requests may go there. Any thread.
  [[nodiscard]] bool is_selectable() const {
    const MemberState now = state.load(std::memory_order_relaxed);
    if (now == MemberState::up) return trials.is_any_left();
    return now == MemberState::down && is_last_resort.load(std::memory_order_relaxed);
  }
  // Somebody has asked that no new request goes there. Any thread.
  [[nodiscard]] bool is_leaving() const {
    const MemberState now = state.load(std::memory_order_relaxed);
    return now == MemberState::draining || now == MemberState::maintenance;
  }

  const std::string pool;
  const std::string name;  // host:port as configured: the `upstream` label
  const net::Address address;
  // MetricsRegistry's; set by the control thread before any other thread sees the member.
  std::uint32_t metrics_id = 0;

  // The control thread alone; other threads see what publish() makes of them.
  MemberState verdict = MemberState::starting;  // of the probes
  MemberDuty duty = MemberDuty::serve;
  AdminState admin = AdminState::enabled;
  bool is_out = false;             // ejected, or its circuit breaker is open (traffic_judge.h)
  std::uint32_t admin_weight = 0;  // instead of the configuration's; 0 = that
  void publish() { state.store(combine(admin, duty, verdict, is_out), std::memory_order_relaxed); }

  // Written by the control thread, by publish().
  alignas(64) std::atomic<MemberState> state{MemberState::starting};
  // Of the weight, in parts of kFullShare; at least 1. Written by the control thread (slow_start.h).
  std::atomic<std::uint32_t> share{kFullShare};
  // Nobody of its pool is up, and it is used although it is down. Written by the control thread
  // (last_resort.h); means nothing in another state.
  std::atomic<bool> is_last_resort{false};
  // Set by data-plane threads after a failed connect, taken by the prober: look at it soon.
  std::atomic<bool> is_suspect{false};
  // Its circuit breaker is not closed. For the word that a request without a member ends with.
  std::atomic<bool> is_broken{false};
  Trials trials;

  // Written by data-plane threads.
  alignas(64) std::atomic<std::uint32_t> in_flight{
      0};                                     // requests sent and not yet answered in full
  std::atomic<std::uint32_t> connections{0};  // open or being opened, idle ones too
  // Threads with requests that wait for a connection, as bits; who frees one wakes one of them.
  std::atomic<std::uint64_t> waiting_threads{0};
  Conduct conduct;
};

}  // namespace portunus::health
