#include "proxy/replica_link.h"

#include <algorithm>
#include <optional>

namespace portunus::proxy {

using supervisor::Kind;

namespace {

std::string pool_of(const std::string& service, const conf::Model& model) {
  const auto known = std::ranges::find(model.services, service, &conf::Service::name);
  if (known == model.services.end()) return {};
  const std::optional<std::size_t> pool = known->pool;
  return pool.has_value() ? model.pools[*pool].name : std::string();
}

}  // namespace

std::vector<ServiceMembers> ReplicaLink::members(const conf::Model& model,
                                                 const conf::Model* next) const {
  std::vector<ServiceMembers> all;
  for (const supervisor::ServiceReplicas& service : services_) {
    ServiceMembers entry{service.service, pool_of(service.service, model), {}};
    if (next != nullptr) {
      std::string pool = pool_of(service.service, *next);
      if (pool != entry.pool) entry.next_pool = std::move(pool);
    }
    for (const supervisor::ReplicaMember& member : service.members)
      entry.members.push_back({member.port, member.is_draining});
    all.push_back(std::move(entry));
  }
  return all;
}

std::uint32_t ReplicaLink::life_of(std::string_view service, std::uint16_t port) const {
  for (const supervisor::ServiceReplicas& entry : services_) {
    if (entry.service != service) continue;
    for (const supervisor::ReplicaMember& member : entry.members) {
      if (member.port == port) return member.life;
    }
  }
  return 0;
}

void ReplicaLink::on_member_drained(const std::string& service, std::uint16_t port) {
  supervisor::Message message(Kind::drained);
  message.service = service;
  message.port = port;
  message.life = life_of(service, port);
  static_cast<void>(link_.send(message));
}

void ReplicaLink::on_member_health(const MemberHealth& health) {
  supervisor::Message message(Kind::health, std::string(health.detail));
  message.service = health.service;
  message.port = health.port;
  message.life = life_of(health.service, health.port);
  message.is_good = health.failures == 0;
  message.count = health.failures;
  static_cast<void>(link_.send(message));
}

}  // namespace portunus::proxy
