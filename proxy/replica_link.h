// The replicas of services as the supervisor names them, for the pools of this proxy; and what the
// probes and the drains say of them, for the supervisor. Control thread only.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "conf/model.h"
#include "proxy/dynamic_members.h"
#include "supervisor/link.h"

namespace portunus::proxy {

class ReplicaLink final : public MemberEvents {
 public:
  explicit ReplicaLink(supervisor::Link& link) : link_(link) {}

  // The supervisor's latest word.
  void note(std::vector<supervisor::ServiceReplicas> services) { services_ = std::move(services); }
  // The same with the pools that `model` gives the services to, and those of the `next` one where they
  // are others (null: none is being prepared). A service that a model does not know has no pool.
  [[nodiscard]] std::vector<ServiceMembers> members(const conf::Model& model,
                                                    const conf::Model* next = nullptr) const;

  // Which process of the replica it is; 0 = none.
  [[nodiscard]] std::uint32_t life_of(std::string_view service, std::uint16_t port) const;

  void on_member_drained(const std::string& service, std::uint16_t port) override;
  void on_member_health(const MemberHealth& health) override;

 private:
  supervisor::Link& link_;
  std::vector<supervisor::ServiceReplicas> services_;
};

}  // namespace portunus::proxy
