#include "proxy/member_registry.h"

#include "base/clock.h"

namespace portunus::proxy {

SharedMember MemberRegistry::get(const std::string& pool,
                                 const std::string& name,
                                 const net::Address& address) {
  const std::uint32_t id = metrics_.member_id(pool, name);
  std::weak_ptr<health::Member>& known = members_[pool + '\n' + name + '\n' + address.text()];
  SharedMember member = known.lock();
  // Data-plane threads may be reading the number of one that exists: it is never written again.
  if (!member || member->metrics_id != id) {
    member = std::make_shared<health::Member>(pool, name, address);
    member->metrics_id = id;
    orders_.apply(*member);
    known = member;
  }
  return member;
}

void MemberRegistry::left(const health::Member& member) {
  metrics_.member_left(member.metrics_id, base::monotonic_ns() / 1'000'000);
}

void MemberRegistry::forget_gone() {
  std::erase_if(members_, [](const auto& entry) { return entry.second.expired(); });
}

}  // namespace portunus::proxy
