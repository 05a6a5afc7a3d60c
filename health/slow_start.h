// Slow start: a member that joins or comes back gets a share of its weight that grows evenly from a
// tenth to all of it, over the pool's `slow_start`. Pure but for the members' share, which balancers
// read; the clock is the caller's. Control thread.
//
//   own share    = 10 % + 90 % * (time since it is up) / slow_start, at most 100 %
//   Member::share = own share / largest own share of those that take requests, per tier
//
// So what counts is how far it is behind the others. When all have come at the same time (the whole
// has been started), or only one is left, nobody is held back, since there is nobody to spare it; and
// nothing jumps when the first of them has finished.
//
// Against HAProxy (the weight goes from 0 up, in steps of its health checks, and never after a start;
// an idle server is chosen first by leastconn whatever its weight), nginx (from 0; not with hash or
// random; ignored with one server) and Envoy (at least 10 %, from joining the cluster; all new = no
// effect): the same 10 % floor as Envoy, because a member with nothing never warms up; steps by a clock
// and not by probes, which may be far apart; every policy, and with least_connections also at the
// first, idle moment (balance_least.cc).
#pragma once

#include <cstdint>
#include <span>

#include "health/member.h"

namespace portunus::health {

inline constexpr double kFirstShare = 0.1;

struct SlowStarter {
  Member* member = nullptr;
  std::uint64_t up_since_ms = 0;  // monotonic; of the probes' verdict
  bool is_backup = false;
};

// Between 0.1 and 1.
[[nodiscard]] double own_share(std::uint64_t up_since_ms,
                               std::uint64_t length_ms,
                               std::uint64_t now_ms);

// Writes the shares of the members of one pool; `length_ms` 0 = everybody has all. True while one has
// less: then it is to be done again soon.
bool set_shares(std::span<const SlowStarter> members,
                std::uint64_t length_ms,
                std::uint64_t now_ms);

}  // namespace portunus::health
