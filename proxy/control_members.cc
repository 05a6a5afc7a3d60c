// Members that come and go while the control thread runs: their lists go to the workers in rounds,
// and whoever starts and ends them hears how they are and when they have drained.
#include <algorithm>

#include "proxy/consul_pools.h"
#include "proxy/control.h"

namespace portunus::proxy {
namespace {

void note_left(DynamicMembers& dynamic, const MemberList& before, const MemberList& after) {
  for (const MemberEntry& entry : before.entries) {
    const bool stays = std::ranges::any_of(
        after.entries, [&](const MemberEntry& other) { return other.member == entry.member; });
    if (!stays) dynamic.left(*entry.member);
  }
}

}  // namespace

void Control::set_service_members(const std::vector<ServiceMembers>& services) {
  DynamicMembers& dynamic = builder_.dynamic();
  std::vector<DynamicMembers::Change> changes;
  if (!dynamic.set(services, changes)) return;
  renew_lists();
  for (const DynamicMembers::Change& change : changes) {
    const bool drains = change.to == health::MemberState::draining;
    const bool is_ordered = change.member->admin != health::AdminState::enabled;
    const char* const why = is_ordered ? "an operator has asked for it"
                            : drains   ? "its replica is about to go"
                                       : "its replica stays";
    on_transition(*change.member, {change.from, change.to, "admin", why});
  }
}

// After a change of what is wanted of members, or of who comes and goes.
void Control::renew_lists() {
  // A generation that nobody has yet is made anew in place; the running one goes on as well.
  if (pending_) static_cast<void>(merge_lists(*pending_->model, pending_->members));
  std::vector<MemberSwaps::Swap> swaps;
  if (current_) swaps = merge_lists(*current_->model, lists_);
  // Before anybody has the lists: one that comes back starts from the beginning.
  if (pending_) {
    set_targets(*pending_, pending_->members);
  } else if (current_) {
    set_targets(*current_, lists_);
  }
  if (has_slow_start_) look_at_slow_start();
  judge_members();
  look_at_last_resorts();
  post_round(swaps);
}

// What has changed. A name counts as left when it is not in the newest configuration's list.
std::vector<MemberSwaps::Swap> Control::merge_lists(const conf::Model& model,
                                                    std::vector<SharedMemberList>& lists) {
  const bool is_newest = &lists != &lists_ || !pending_;
  std::vector<MemberSwaps::Swap> swaps;
  for (std::size_t i = 0; i < lists.size(); ++i) {
    SharedMemberList merged = builder_.dynamic().merge(
        model.pools[i].name, lists[i],
        &lists == &lists_ ? DynamicMembers::View::running : DynamicMembers::View::next,
        consul_key_of(model.pools[i], model.consul));
    if (merged == lists[i]) continue;
    if (is_newest) note_left(builder_.dynamic(), *lists[i], *merged);
    lists[i] = std::move(merged);
    swaps.push_back({i, lists[i]});
  }
  return swaps;
}

// To every worker, though not every pool has changed: what drains has drained only when each has
// seen that it does.
void Control::post_round(const std::vector<MemberSwaps::Swap>& swaps) {
  const bool drains = builder_.dynamic().begin_round(round_ + 1);
  if (swaps.empty() && !drains) return;
  ++round_;
  for (std::size_t i = 0; i < workers_.size(); ++i) {
    if (workers_[i]->swap_members({round_, current_ ? current_->number : 0, swaps})) continue;
    rounds_taken_[i] = kAllRounds;
  }
  // There may be no worker to answer.
  loop_.post([this] {
    tell_drained();
    note_drained();
  });
}

void Control::on_members_swapped(std::size_t worker, std::uint64_t round) {
  loop_.post([this, worker, round] { note_round(worker, round); });
}

void Control::on_member_idle() {
  loop_.post([this] {
    tell_drained();
    note_drained();
  });
}

void Control::note_round(std::size_t worker, std::uint64_t round) {
  rounds_taken_[worker] = std::max(rounds_taken_[worker], round);
  tell_drained();
  note_drained();
}

// That every worker has taken.
std::uint64_t Control::least_round() const {
  const auto least = std::ranges::min_element(rounds_taken_);
  return least == rounds_taken_.end() ? kAllRounds : *least;
}

void Control::tell_drained() {
  if (member_events_ == nullptr) return;
  for (const DynamicMembers::Drained& one : builder_.dynamic().take_drained(least_round()))
    member_events_->on_member_drained(one.service, one.port);
}

// What is under way for the replicas of a service, which the supervisor asks for where it scales by it.
void Control::tell_requests(const std::string& service) {
  if (!current_) return;
  const auto known = std::ranges::find(current_->model->services, service, &conf::Service::name);
  if (known == current_->model->services.end()) return;
  const std::size_t pool = known->pool.value_or(lists_.size());
  if (pool >= lists_.size()) return;
  std::uint32_t in_flight = 0;
  for (const MemberEntry& entry : lists_[pool]->entries) {
    const DynamicMembers::Replica* replica = builder_.dynamic().find(*entry.member);
    if (replica == nullptr || replica->service != service) continue;
    in_flight += entry.member->in_flight.load(std::memory_order_relaxed);
  }
  supervisor::Message message(supervisor::Kind::requests);
  message.service = service;
  message.numbers = {in_flight, current_->pool_shares[pool]->queued.load(std::memory_order_relaxed),
                     current_->model->pools[pool].max_connections_per_upstream};
  static_cast<void>(link_.send(message));
}

void Control::tell_health(const health::Member& member) {
  if (member_events_ == nullptr) return;
  const DynamicMembers::Replica* replica = builder_.dynamic().find(member);
  const health::ProbeStatus* status = prober_.status_of(member);
  if (replica == nullptr || status == nullptr) return;
  // The handler may have the replica forgotten.
  const std::string service = replica->service;
  const std::string detail = status->last.detail;
  member_events_->on_member_health({.service = service,
                                    .port = replica->port,
                                    .is_up = status->state == health::MemberState::up,
                                    .successes = status->successes,
                                    .failures = status->failures,
                                    .detail = detail});
}

}  // namespace portunus::proxy
