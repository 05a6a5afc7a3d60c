// What traffic says about members (health/traffic_judge.h) while the control thread runs: who is judged
// by what, and who hears of it.
#include "base/log.h"
#include "proxy/control.h"

namespace portunus::proxy {

// After each change of the pools or of their members.
void Control::judge_members() {
  if (!current_) return;
  std::vector<health::JudgedPool> pools;
  for (std::size_t i = 0; i < lists_.size(); ++i) {
    const conf::Pool& pool = current_->model->pools[i];
    if (!pool.passive.is_on && !pool.breaker.is_on) continue;
    health::JudgedPool& judged = pools.emplace_back();
    judged.passive = pool.passive;
    judged.breaker = pool.breaker;
    judged.is_probed = pool.health.kind != conf::ProbeKind::off;
    judged.members.reserve(lists_[i]->entries.size());
    for (const MemberEntry& entry : lists_[i]->entries)
      judged.members.push_back(entry.member);
  }
  judge_.set_pools(pools);
}

void Control::on_judged(const health::Member& member, const health::StateChange& change) {
  note_change();
  const bool is_out = member.is_out;
  base::log(is_out ? base::LogLevel::warn : base::LogLevel::info, "health", "pool {}: {}: {}",
            member.pool, member.name, change.reason);
  if (change.from != change.to) count_transition(member, change);
  if (is_out) prober_.on_suspect(&member);  // is it the process, or what it does?
  if (!is_out && has_slow_start_ && !slow_start_due_.is_armed()) {
    loop_.timers().arm(slow_start_due_, kSlowStartEveryMs);
  }
  look_at_last_resort(member);
  // Who waits for a connection of one that is out, too: it may have to go elsewhere.
  wake_waiters();
}

void Control::on_trial_free(const health::Member& /*member*/) {
  wake_waiters();
}

}  // namespace portunus::proxy
