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

struct Member {
  Member(std::string pool_name, std::string member_name, net::Address member_address)
      : pool(std::move(pool_name)), name(std::move(member_name)), address(member_address) {}
  Member(const Member&) = delete;
  Member& operator=(const Member&) = delete;
  ~Member() = default;

  // New requests may go there. Any thread.
  [[nodiscard]] bool is_selectable() const {
    return state.load(std::memory_order_relaxed) == MemberState::up;
  }

  const std::string pool;
  const std::string name;  // host:port as configured: the `upstream` label
  const net::Address address;
  // MetricsRegistry's; set by the control thread before any other thread sees the member.
  std::uint32_t metrics_id = 0;

  // Written by the control thread.
  alignas(64) std::atomic<MemberState> state{MemberState::starting};
  // Set by data-plane threads after a failed connect, taken by the prober: look at it soon.
  std::atomic<bool> is_suspect{false};

  // Written by data-plane threads.
  alignas(64) std::atomic<std::uint32_t> in_flight{
      0};                                     // requests sent and not yet answered in full
  std::atomic<std::uint32_t> connections{0};  // open or being opened, idle ones too
  // Threads with requests that wait for a connection, as bits; who frees one wakes one of them.
  std::atomic<std::uint64_t> waiting_threads{0};
};

}  // namespace portunus::health
