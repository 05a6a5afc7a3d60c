// Slow start (health/slow_start.h) while the control thread runs: the shares are set when a list has
// changed, soon after a member has come up, and a few times a second while one is on its way; else
// nothing happens. One that is not up has the first share already, with which it comes back.
#include <algorithm>

#include "base/clock.h"
#include "health/slow_start.h"
#include "proxy/control.h"

namespace portunus::proxy {

void Control::look_at_slow_start() {
  slow_start_due_.disarm();
  const std::uint64_t now_ms = base::monotonic_ns() / 1'000'000;
  bool is_any = false;
  std::vector<health::SlowStarter> members;
  for (std::size_t i = 0; i < lists_.size(); ++i) {
    const auto length_ms = static_cast<std::uint64_t>(current_->model->pools[i].slow_start.count());
    if (length_ms == 0 && !has_slow_start_) continue;
    members.clear();
    for (const MemberEntry& entry : lists_[i]->entries) {
      const health::ProbeStatus* const status = prober_.status_of(*entry.member);
      const health::TrafficStatus* const traffic = judge_.status_of(*entry.member);
      const std::uint64_t up_ms = status == nullptr ? 0 : status->since_ms;
      const std::uint64_t back_ms = traffic == nullptr ? 0 : traffic->back_ms;
      members.push_back({entry.member.get(), std::max(up_ms, back_ms), entry.is_backup});
    }
    if (health::set_shares(members, length_ms, now_ms)) is_any = true;
  }
  if (is_any) loop_.timers().arm(slow_start_due_, kSlowStartEveryMs);
}

// Of the pools of a generation that has just been taken: one may no longer have it.
void Control::begin_slow_start() {
  const auto has = [](const conf::Pool& pool) {
    return pool.slow_start.count() > 0;
  };
  const bool has_now = std::ranges::any_of(current_->model->pools, has);
  has_slow_start_ = has_slow_start_ || has_now;
  look_at_slow_start();
  has_slow_start_ = has_now;
}

}  // namespace portunus::proxy
