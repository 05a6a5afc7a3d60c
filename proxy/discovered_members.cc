#include "proxy/discovered_members.h"

#include <algorithm>

namespace portunus::proxy {

using health::MemberDuty;

void DiscoveredMembers::set(const std::string& key, discovery::InstanceList instances) {
  lists_.insert_or_assign(key, std::move(instances));
}

discovery::InstanceList DiscoveredMembers::list(const std::string& key) const {
  const auto found = lists_.find(key);
  return found == lists_.end() ? nullptr : found->second;
}

void DiscoveredMembers::keep_only(const std::vector<std::string>& keys) {
  const auto is_gone = [&](const std::string& key) {
    return std::ranges::count(keys, key) == 0;
  };
  std::erase_if(lists_, [&](const auto& list) { return is_gone(list.first); });
  std::vector<Known> gone;
  for (auto each = pools_.begin(); each != pools_.end();) {
    if (!is_gone(each->first.second)) {
      ++each;
      continue;
    }
    std::ranges::move(each->second, std::back_inserter(gone));
    each = pools_.erase(each);
  }
  release(gone);
}

void DiscoveredMembers::add_to(const std::string& pool, const std::string& key, MemberList& list) {
  std::vector<Known>& known = pools_[{pool, key}];
  std::vector<Known> gone = std::exchange(known, {});
  const auto found = lists_.find(key);
  if (found != lists_.end()) {
    for (const discovery::Instance& instance : *found->second) {
      SharedMember member = known_.get(pool, instance.name, instance.address);
      const bool is_listed = std::ranges::any_of(
          list.entries, [&](const MemberEntry& entry) { return entry.member == member; });
      if (is_listed) continue;
      list.entries.push_back({member, instance.weight, instance.is_backup});
      known.push_back({std::move(member), instance});
      publish(known.back());
    }
  }
  release(gone);
}

void DiscoveredMembers::publish(const Known& known) {
  health::Member& member = *known.member;
  const bool is_held = known.instance.is_draining || !known.instance.is_usable;
  const health::MemberState from = member.state.load(std::memory_order_relaxed);
  member.duty = is_held ? MemberDuty::drain : MemberDuty::serve;
  member.publish();
  const health::MemberState to = member.state.load(std::memory_order_relaxed);
  if (from != to) {
    std::string reason = reason_of(known.instance);
    if (reason.empty()) reason = "Consul: passing";
    changes_.push_back({known.member, from, to, std::move(reason)});
  }
}

// Nothing is held back of those that are in no list of ours any more. Not published: threads that have
// the old list for a moment yet must not think that one serves again.
void DiscoveredMembers::release(const std::vector<Known>& gone) {
  for (const Known& each : gone) {
    if (find(*each.member) == nullptr) each.member->duty = MemberDuty::serve;
  }
}

const discovery::Instance* DiscoveredMembers::find(const health::Member& member) const {
  for (const auto& [pool, known] : pools_) {
    if (pool.first != member.pool) continue;
    const auto found = std::ranges::find_if(
        known, [&](const Known& each) { return each.member.get() == &member; });
    if (found != known.end()) return &found->instance;
  }
  return nullptr;
}

std::vector<SharedMember> DiscoveredMembers::members_of(const discovery::Instance& instance) const {
  std::vector<SharedMember> members;
  for (const auto& [pool, known] : pools_) {
    for (const Known& each : known) {
      if (each.instance.name == instance.name) members.push_back(each.member);
    }
  }
  return members;
}

std::string reason_of(const discovery::Instance& instance) {
  std::string reason;
  if (instance.status != discovery::InstanceStatus::passing) {
    reason = std::string("Consul: ") + discovery::name_of(instance.status);
    if (!instance.reason.empty()) reason += " (" + instance.reason + ")";
  }
  if (instance.is_kept)
    reason += reason.empty() ? "kept from the last good list" : ", kept from the last good list";
  return reason;
}

}  // namespace portunus::proxy
