#include "proxy/dynamic_members.h"

#include <algorithm>
#include <utility>

#include "base/clock.h"

namespace portunus::proxy {
namespace {

using health::MemberDuty;

net::Address address_of(std::uint16_t port) {
  return *net::Address::parse_ip("127.0.0.1", port);
}

std::string name_of(std::uint16_t port) {
  return "127.0.0.1:" + std::to_string(port);
}

MemberDuty duty_of(const DynamicMembers::Replica& replica) {
  return replica.is_draining ? MemberDuty::drain : MemberDuty::serve;
}

const conf::Health& settings_of(const std::string& service, const conf::Model& model) {
  static const conf::Health by_default;
  const auto found = std::ranges::find(model.services, service, &conf::Service::name);
  return found == model.services.end() ? by_default : found->health;
}

}  // namespace

bool DynamicMembers::set(const std::vector<ServiceMembers>& services,
                         std::vector<Change>& changes) {
  if (services == services_) return false;
  services_ = services;
  std::vector<Replica> old = std::exchange(replicas_, {});
  for (const ServiceMembers& service : services_) {
    for (const ServiceMembers::Member& wanted : service.members) {
      const bool is_known = std::ranges::any_of(replicas_, [&](const Replica& other) {
        return other.port == wanted.port && other.service == service.service;
      });
      if (wanted.port == 0 || is_known) continue;
      Replica replica;
      replica.service = service.service;
      replica.pool = service.pool;
      replica.next_pool = service.next_pool;
      replica.port = wanted.port;
      replica.is_draining = wanted.is_draining;
      take_over(replica, old);
      replicas_.push_back(std::move(replica));
    }
  }
  // Not published: threads that have the old list for a moment yet must not think that one serves again.
  for (const Replica& gone : old) {
    if (gone.member) gone.member->duty = MemberDuty::serve;
    if (gone.next_member) gone.next_member->duty = MemberDuty::serve;
  }
  for (const Replica& replica : replicas_) {
    for (const SharedMember& member : {replica.member, replica.next_member}) {
      if (!member) continue;
      const health::MemberState from = member->state.load(std::memory_order_relaxed);
      member->duty = duty_of(replica);
      member->publish();
      const health::MemberState to = member->state.load(std::memory_order_relaxed);
      if (from != to && member == replica.member) changes.push_back({member, from, to});
    }
  }
  old.clear();
  known_.forget_gone();
  return true;
}

// What is known of a replica that was there before goes with it.
void DynamicMembers::take_over(Replica& replica, std::vector<Replica>& old) {
  const auto before = std::ranges::find_if(old, [&](const Replica& known) {
    return known.port == replica.port && known.service == replica.service;
  });
  const auto take = [&](const std::string& pool) -> SharedMember {
    if (before != old.end() && before->member && before->pool == pool) {
      return std::exchange(before->member, nullptr);
    }
    if (before != old.end() && before->next_member && before->next_pool == pool) {
      return std::exchange(before->next_member, nullptr);
    }
    return nullptr;
  };
  replica.member = take(replica.pool);
  const bool is_known = replica.member != nullptr;
  if (!is_known) replica.member = member_of(replica, replica.pool);
  if (replica.next_pool) {
    replica.next_member = take(*replica.next_pool);
    if (!replica.next_member) replica.next_member = member_of(replica, *replica.next_pool);
  }
  if (is_known && replica.is_draining && before->is_draining) {
    replica.is_told = before->is_told;
    replica.drain_round = before->drain_round;
    replica.since_us = before->since_us;
  } else if (replica.is_draining) {
    replica.since_us = base::wall_us();
  }
}

// Without a pool it has no series: its number is that of nobody.
SharedMember DynamicMembers::member_of(const Replica& replica, const std::string& pool) {
  if (!pool.empty()) return known_.get(pool, name_of(replica.port), address_of(replica.port));
  return std::make_shared<health::Member>("service:" + replica.service, name_of(replica.port),
                                          address_of(replica.port));
}

SharedMemberList DynamicMembers::merge(const std::string& pool,
                                       const SharedMemberList& list,
                                       View view,
                                       const std::string& query) {
  auto merged = std::make_shared<MemberList>();
  merged->fixed = list->fixed;
  merged->entries.assign(list->entries.begin(),
                         list->entries.begin() + static_cast<std::ptrdiff_t>(list->fixed));
  for (Replica& replica : replicas_) {
    const bool moves = view == View::next && replica.next_pool.has_value();
    if ((moves ? *replica.next_pool : replica.pool) != pool) continue;
    SharedMember& member = moves ? replica.next_member : replica.member;
    member = member_of(replica, pool);
    member->duty = duty_of(replica);
    const bool is_listed = std::ranges::any_of(
        merged->entries, [&](const MemberEntry& entry) { return entry.member == member; });
    if (!is_listed) merged->entries.push_back({member, 1, false});
  }
  if (!query.empty()) discovered_.add_to(pool, query, *merged);
  for (MemberEntry& entry : merged->entries) {
    health::Member& member = *entry.member;
    entry.is_draining =
        member.duty == MemberDuty::drain || member.admin != health::AdminState::enabled;
    const std::uint32_t configured =
        entry.configured_weight != 0 ? entry.configured_weight : entry.weight;
    entry.weight = member.admin_weight != 0 ? member.admin_weight : configured;
    entry.configured_weight = member.admin_weight != 0 ? configured : 0;
    member.publish();  // a configured one whose replica or instance has gone serves again
  }
  return *merged == *list ? list : merged;
}

void DynamicMembers::add_targets(const conf::Model& model,
                                 std::vector<health::ProbeTarget>& targets) const {
  for (const Replica& replica : replicas_) {
    targets.push_back({replica.member, settings_of(replica.service, model)});
    if (replica.next_member) {
      targets.push_back({replica.next_member, settings_of(replica.service, model)});
    }
  }
}

const DynamicMembers::Replica* DynamicMembers::find(const health::Member& member) const {
  const auto found = std::ranges::find_if(replicas_, [&](const Replica& replica) {
    return replica.member.get() == &member || replica.next_member.get() == &member;
  });
  return found == replicas_.end() ? nullptr : &*found;
}

bool DynamicMembers::begin_round(std::uint64_t round) {
  bool is_any = false;
  for (Replica& replica : replicas_) {
    if (!replica.is_draining || replica.drain_round != 0) continue;
    replica.drain_round = round;
    is_any = true;
  }
  return is_any;
}

std::vector<DynamicMembers::Drained> DynamicMembers::take_drained(std::uint64_t round) {
  std::vector<Drained> drained;
  for (Replica& replica : replicas_) {
    if (replica.drain_round == 0 || replica.drain_round > round || replica.is_told) continue;
    const auto is_busy = [](const SharedMember& member) {
      return member && member->in_flight.load(std::memory_order_relaxed) != 0;
    };
    if (is_busy(replica.member) || is_busy(replica.next_member)) continue;
    replica.is_told = true;
    drained.push_back({replica.service, replica.port});
  }
  return drained;
}

void DynamicMembers::tell_again() {
  for (Replica& replica : replicas_)
    replica.is_told = false;
}

}  // namespace portunus::proxy
