// The members of one pool at one moment: immutable, built on the control thread, read by all. A
// change of members swaps the list alone; the routes and everything else stay.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "conf/model_pools.h"
#include "health/member.h"

namespace portunus::proxy {

// allow(shared_ptr): a member lives as long as some generation, probe or connection knows it
using SharedMember = std::shared_ptr<health::Member>;

struct MemberEntry {
  SharedMember member;
  std::uint32_t weight = 1;             // 1 to 1000
  bool is_backup = false;               // used only while no other member is selectable
  bool is_draining = false;             // wanted of it at the moment: no connection is kept
  std::uint32_t configured_weight = 0;  // when an operator has set another; 0 = `weight` is it
  friend bool operator==(const MemberEntry&, const MemberEntry&) = default;
};

// What the threads count together about one pool. Survives reloads with the pool's name.
struct PoolShare {
  std::atomic<std::uint32_t> pending{0};  // attempts that wait: for a connection, a member, a retry
  std::atomic<std::uint32_t> queued{0};   // those of them that wait for a connection
  std::atomic<std::uint64_t> passed_over{0};  // picks past a member above `hash_bound`, ever
  // Leases taken under the bound of `overload`, and the threads that wait for one of them, as bits.
  // Not touched by pools without one.
  alignas(64) std::atomic<std::uint32_t> requests{0};
  std::atomic<std::uint64_t> waiting_threads{0};
  // Of `overload.adaptive`: the bound of the moment, 0 = not told yet; and what it is judged by.
  std::atomic<std::uint32_t> limit{0};
  std::atomic<std::uint64_t> answers{0};
  std::atomic<std::uint64_t> latency_ns{0};  // until they began, of all of them
  std::atomic<std::uint64_t> held_back{0};   // times that nobody was let in

  // How many requests may be at the members of a pool with this `overload`; 0 = any number.
  [[nodiscard]] std::uint32_t bound(const conf::Overload& overload) const {
    if (!overload.adaptive.is_on) return overload.max_requests;
    const std::uint32_t told = limit.load(std::memory_order_relaxed);
    return told != 0 ? told : overload.adaptive.initial;
  }
};
// allow(shared_ptr): one of all threads and generations; taken when a generation is applied
using SharedPoolShare = std::shared_ptr<PoolShare>;

// The room that a request has left, on its way to another thread whose requests wait for it. Counted
// as taken until let_go(), so that a newcomer of the first thread does not get in between.
struct PoolTurn {
  SharedPoolShare pool = {};
  SharedMember member = {};  // null: nothing is kept, they are only to look
  bool has_place = false;    // in PoolShare::requests
  bool is_let_go = false;

  // Any thread, once or more often. True: nothing else is in flight at the member.
  bool let_go() {
    if (member == nullptr || std::exchange(is_let_go, true)) return false;
    if (has_place) pool->requests.fetch_sub(1);
    return member->in_flight.fetch_sub(1) == 1;
  }
};

struct MemberList {
  std::vector<MemberEntry> entries;
  std::size_t fixed = 0;  // the first so many are the configuration's, the others come and go
  friend bool operator==(const MemberList&, const MemberList&) = default;
};
// allow(shared_ptr): swapped by the control thread, never copied for a request
using SharedMemberList = std::shared_ptr<const MemberList>;

}  // namespace portunus::proxy
