// `when_unhealthy` (health/last_resort.h) while the control thread runs: looked at whenever a member's
// state or a list has changed. Most changes leave somebody up: then it is a look at the first members.
#include "base/log.h"
#include "health/last_resort.h"
#include "proxy/control.h"

namespace portunus::proxy {

using base::LogLevel;

// After a change of that member's state.
void Control::look_at_last_resort(const health::Member& member) {
  if (!current_) return;
  for (std::size_t i = 0; i < lists_.size(); ++i) {
    const conf::Pool& pool = current_->model->pools[i];
    if (pool.when_unhealthy != conf::WhenUnhealthy::fail && pool.name == member.pool) {
      look_at_last_resort(i);
    }
  }
}

// After a change of the pools or of their members.
void Control::look_at_last_resorts() {
  if (!current_) return;
  for (std::size_t i = 0; i < lists_.size(); ++i)
    look_at_last_resort(i);
}

void Control::look_at_last_resort(std::size_t pool) {
  const conf::Pool& settings = current_->model->pools[pool];
  std::vector<health::ResortCandidate> members;
  members.reserve(lists_[pool]->entries.size());
  for (const MemberEntry& entry : lists_[pool]->entries) {
    const health::ProbeStatus* const status = prober_.status_of(*entry.member);
    members.push_back({entry.member.get(), status == nullptr ? 0 : status->since_ms,
                       status != nullptr && status->was_up});
  }
  const health::ResortChange change =
      health::set_last_resort(members, settings.when_unhealthy, health::settle_ms(settings.health));
  if (change.used > 0 && change.used_before == 0) {
    base::log(LogLevel::warn, "health",
              "pool {}: no member is up: requests go to {} of {} all the "
              "same (when_unhealthy)",
              settings.name, change.used, members.size());
  } else if (change.used == 0 && change.used_before > 0) {
    base::log(LogLevel::info, "health", "pool {}: requests no longer go to members that are down",
              settings.name);
  }
  if (change.is_any_new) wake_waiters();
}

}  // namespace portunus::proxy
