// Who takes the requests of a pool while nobody is up: what `when_unhealthy` says. Pure; what it says
// is published in Member::is_last_resort. Control thread.
//
//   pool        fail    last_known                       all
//   some up     nobody  nobody                           nobody
//   nobody up   nobody  those that are down and were up  those that are down
//                       when the last one went, or just
//                       before
//
// "Just before": a fault behind them (a database, a network) takes members out one after the other, each
// at the probe that tells it, so those that went within settle_ms() of the last one went with it. One
// that has been down for longer, or never was up, was no help then and is none now.
//
// Nobody else is ever used: who drains or is in maintenance is to be left alone; one whose circuit breaker
// is open is up and is to be spared (and one that is ejected is let back when nobody else is left); who
// is `starting` has not been looked at, and will have been within the time of one probe. So after a start
// requests wait for the first verdicts, and `last_known` knows nobody until one member has been up.
//
// Against Envoy (panic below 50 % healthy, which with three members sends a part of the requests to dead
// ones while a good one is left) and HAProxy (`option allbackups` concerns backups alone): only when
// there is no better choice, and with a choice.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "conf/model_pools.h"
#include "health/member.h"

namespace portunus::health {

struct ResortCandidate {
  Member* member = nullptr;
  std::uint64_t since_ms = 0;  // of the probes' verdict; monotonic
  bool was_up = false;         // before that
};

struct ResortChange {
  std::size_t used = 0;  // from now on
  std::size_t used_before = 0;
  bool is_any_new = false;  // used now and not before
};

// How far apart the probes take out members that one fault has hit.
[[nodiscard]] constexpr std::uint64_t settle_ms(const conf::Health& health) {
  return 2 * static_cast<std::uint64_t>(health.interval.count()) +
         health.fall * static_cast<std::uint64_t>(health.timeout.count());
}

// Marks the members of one pool. `apart_ms` is settle_ms().
ResortChange set_last_resort(std::span<const ResortCandidate> members,
                             conf::WhenUnhealthy rule,
                             std::uint64_t apart_ms);

}  // namespace portunus::health
