// Members from Consul: what the pools of the day and of a pending generation want is watched, and
// whatever the source tells goes into their lists.
#include <algorithm>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "proxy/consul_pools.h"
#include "proxy/control.h"
#include "supervisor/paths.h"

namespace portunus::proxy {
namespace {

using base::LogLevel;
using discovery::KeptReason;

constexpr std::size_t kNamesShown = 8;  // in a line of the log

// "127.0.0.1:9001, 127.0.0.1:9002": names that stand in `of` and not in `others`.
std::string only_in(const discovery::Instances& of, const discovery::Instances& others) {
  std::string text;
  std::size_t count = 0;
  for (const discovery::Instance& each : of) {
    if (std::ranges::binary_search(others, each.name, {}, &discovery::Instance::name)) continue;
    if (++count > kNamesShown) continue;
    text += (text.empty() ? "" : ", ") + each.name;
  }
  if (count > kNamesShown) text += " and " + std::to_string(count - kNamesShown) + " more";
  return text;
}

}  // namespace

// What runs goes on to be watched beside what is to run.
void Control::discover(const conf::Model& next) {
  std::vector<discovery::ServiceQuery> wanted;
  if (current_) add_consul_queries(*current_->model, wanted);
  add_consul_queries(next, wanted);
  if (wanted.empty() && !discovers_) return;
  discovers_ = !wanted.empty();
  std::vector<std::string> keys;
  std::vector<std::string> fresh;
  for (const discovery::ServiceQuery& query : wanted) {
    keys.push_back(discovery::key_of(query));
    if (!consul_.status(keys.back())) fresh.push_back(keys.back());
  }
  consul_.set(consul_agent_of(next.consul, supervisor::discovery_folder(state_folder(next))),
              wanted);
  // A list that is known already is that of a new pool as well.
  DiscoveredMembers& discovered = builder_.dynamic().discovered();
  for (const std::string& key : keys) {
    if (const auto known = consul_.instances(key)) discovered.set(key, known);
  }
  stand_in(next);
  discovered.keep_only(keys);
  awaits_lists_ = std::ranges::any_of(
      fresh, [this](const std::string& key) { return consul_.instances(key) == nullptr; });
}

// A pool that asks for something else now has what it has had, until that is known: Consul may be away.
void Control::stand_in(const conf::Model& next) {
  if (!current_) return;
  DiscoveredMembers& discovered = builder_.dynamic().discovered();
  for (const conf::Pool& pool : next.pools) {
    const std::string key = consul_key_of(pool, next.consul);
    if (key.empty() || discovered.list(key)) continue;
    const auto before = std::ranges::find(current_->model->pools, pool.name, &conf::Pool::name);
    if (before == current_->model->pools.end()) continue;
    const auto list = discovered.list(consul_key_of(*before, current_->model->consul));
    if (list) discovered.set(key, list);
  }
}

void Control::on_instances(const std::string& key, const discovery::InstanceList& instances) {
  DiscoveredMembers& discovered = builder_.dynamic().discovered();
  static const discovery::Instances none;
  const discovery::InstanceList before = discovered.list(key);
  const discovery::Instances& old = before ? *before : none;
  const std::string come = only_in(*instances, old);
  const std::string gone = only_in(old, *instances);
  base::log(LogLevel::info, "discovery", "consul service {}: {} instances{}{}{}{}", key,
            instances->size(), come.empty() ? "" : "; new: ", come,
            gone.empty() ? "" : "; gone: ", gone);
  discovered.set(key, instances);
  renew_lists();
  note_discovered_changes();
}

void Control::note_discovered_changes() {
  for (const DiscoveredMembers::Change& change : builder_.dynamic().discovered().take_changes()) {
    on_transition(*change.member, {change.from, change.to, "discovery", change.reason});
  }
}

void Control::on_kept(const discovery::ServiceStatus& status, KeptReason was) {
  if (status.kept == KeptReason::none) {
    if (was != KeptReason::none) {
      base::log(LogLevel::info, "discovery", "consul service {}: the list is Consul's again",
                status.key);
    }
    return;
  }
  base::log(LogLevel::warn, "discovery",
            "consul service {}: {}; its {} instances stay as they are, {:.0f} s old{}{}",
            status.key, discovery::name_of(status.kept), status.instances->size(),
            static_cast<double>(status.age_ms) / 1000, status.kept_detail.empty() ? "" : ": ",
            status.kept_detail.empty() ? status.last_error : status.kept_detail);
}

bool Control::is_alive(const discovery::Instance& instance) {
  return std::ranges::any_of(builder_.dynamic().discovered().members_of(instance),
                             [this](const SharedMember& member) {
                               const health::ProbeStatus* status = prober_.status_of(*member);
                               return status != nullptr && status->kind != conf::ProbeKind::off &&
                                      status->state == health::MemberState::up;
                             });
}

void Control::on_first_lists() {
  if (!std::exchange(awaits_lists_, false) || !is_probing_ || !pending_) return;
  set_targets(*pending_, pending_->members);  // then the first round of all of them
}

}  // namespace portunus::proxy
