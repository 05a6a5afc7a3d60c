// Up or down, by counting probes, and when to probe next. Pure: no clock, no loop, no Member.
// Control thread.
//
//   state     good probe                       bad probe                          probes off
//   starting  -> up                            -> down                            -> up
//   up        stays; ends the row of failures  -> down at the `fall`-th in a row  stays
//   down      -> up at the `rise`-th in a row  stays; ends the row of successes   -> up
//   (draining and maintenance are wanted by somebody and no verdict, Member::duty and Member::admin;
//   ejected is to come: none is ever entered here)
//
//   fast = interval / 10, at least 500 ms, at most the interval
//   state     after                        next probe after
//   starting  being added                  at once
//   any       a probe without a verdict    fast
//   up        its very first probe         fast to the interval, evenly: spreads what came together
//   up        a good probe                 the interval
//   up        a failure                    fast; at most 500 ms when traffic raised the suspicion
//   down      a success                    fast
//   down      its n-th failure, from 0 on  fast * 2^n, at most the interval
//   All but the first and third wander by `jitter`, either way. The last row notices a restart
//   soon, and a long absence costs no more than presence.
#pragma once

#include <cstdint>

#include "conf/model.h"
#include "health/member.h"

namespace portunus::health {

class StateMachine {
 public:
  [[nodiscard]] MemberState state() const { return state_; }
  // In a row, up to now. One of them is 0.
  [[nodiscard]] std::uint32_t successes() const { return successes_; }
  [[nodiscard]] std::uint32_t failures() const { return failures_; }

  // As it was in a process before this one: `up` or `down`, and no rows.
  void resume(MemberState state) { state_ = state; }
  // The result of one probe; true when the state changed.
  bool on_probe(bool is_good, const conf::Health& settings);
  // The member is not probed (any more); true when the state changed.
  bool on_probes_off();
  // A request could not connect: probe faster until the next good probe.
  void on_suspect();
  [[nodiscard]] bool is_suspect() const { return is_suspect_; }
  // The next results are of another kind of probe: rows begin anew, the state stays.
  void on_new_settings();

  // Until the next probe, by the table. `chance` is evenly spread over [0, 1).
  [[nodiscard]] std::uint64_t next_probe_ms(const conf::Health& settings, double chance) const;
  // The same after a probe without a verdict.
  [[nodiscard]] static std::uint64_t repeat_ms(const conf::Health& settings, double chance);

 private:
  bool enter(MemberState state);

  MemberState state_ = MemberState::starting;
  bool is_first_ = false;  // one probe so far
  bool is_suspect_ = false;
  std::uint32_t successes_ = 0;
  std::uint32_t failures_ = 0;
  std::uint32_t failures_down_ = 0;  // since it is down and without a success
};

}  // namespace portunus::health
