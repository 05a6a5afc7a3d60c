// Members that come and go while the program runs: the replicas of services, as the supervisor names
// them, and what discovery has found (discovered_members.h). Merges them into the lists of pools, says what is probed, and knows which of them drain and
// whether they have. Owned by the builder of generations; control thread only.
//
//   draining --set--> wanted --round given--> waits for every thread, and for in_flight 0 --> told
//   any --no longer draining, or gone--> forgotten
//
// A thread that has taken a round posted after the state was set starts no request there any more.
// So once all have, in_flight only falls: 0 seen then is the end, and else the thread that makes it 0
// sees the state and says so.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "conf/model.h"
#include "health/prober.h"
#include "proxy/discovered_members.h"
#include "proxy/member_list.h"
#include "proxy/member_registry.h"

namespace portunus::proxy {

// The replicas of one service, each at 127.0.0.1.
struct ServiceMembers {
  struct Member {
    std::uint16_t port = 0;
    bool is_draining = false;  // no new requests
    friend bool operator==(const Member&, const Member&) = default;
  };
  std::string service;
  std::string pool;  // empty, or of no configured pool: they are only probed
  std::vector<Member> members;
  // That they will be in, when the generation that is being prepared has another one for them.
  std::optional<std::string> next_pool = std::nullopt;
  friend bool operator==(const ServiceMembers&, const ServiceMembers&) = default;
};

// What the probes say of one replica, draining or not. Texts live until return.
struct MemberHealth {
  std::string_view service;
  std::uint16_t port = 0;
  bool is_up = false;
  std::uint32_t successes = 0;  // probes in a row
  std::uint32_t failures = 0;
  std::string_view detail;  // of the last probe; empty when it was good
};

// Who starts and ends the replicas. Told in later turns, never from within
// Control::set_service_members. A handler may call any method.
class MemberEvents {
 public:
  // Nothing is in flight there any more and nothing new will be. Once for each time that it drains,
  // and again after DynamicMembers::tell_again().
  virtual void on_member_drained(const std::string& service, std::uint16_t port) = 0;
  // After each probe; what has been told may be told again.
  virtual void on_member_health(const MemberHealth& health) = 0;

 protected:
  ~MemberEvents() = default;
};

class DynamicMembers {
 public:
  struct Replica {
    std::string service;
    std::string pool;
    std::uint16_t port = 0;
    SharedMember member;
    std::optional<std::string> next_pool = std::nullopt;
    SharedMember next_member;  // in that one; null when there is none
    bool is_draining = false;
    bool is_told = false;           // that it has drained
    std::uint64_t drain_round = 0;  // 0 = none given yet
    std::uint64_t since_us = 0;     // draining; wall clock
  };
  // A published state that is another one because somebody has asked for it.
  struct Change {
    SharedMember member;
    health::MemberState from;
    health::MemberState to;
  };
  struct Drained {
    std::string service;
    std::uint16_t port;
  };

  explicit DynamicMembers(MemberRegistry& known) : known_(known) {}

  // All services' members from now on; false when they are what they were. A port 0 and the second
  // naming of a port in a service are ignored.
  bool set(const std::vector<ServiceMembers>& services, std::vector<Change>& changes);

  // The configured members of `list` and the present others of that pool; the same list when nothing
  // is different. One that is configured as well is there once.
  // For the generation that runs, or the `next`.
  enum class View : std::uint8_t { running, next };
  // With the instances of a query (consul_pools.h), when the pool has one.
  [[nodiscard]] SharedMemberList merge(const std::string& pool,
                                       const SharedMemberList& list,
                                       View view = View::running,
                                       const std::string& query = {});
  // Each with the settings of its service; one that is not in the configuration (any more) is probed
  // on TCP.
  void add_targets(const conf::Model& model, std::vector<health::ProbeTarget>& targets) const;
  // Null when it is none.
  [[nodiscard]] const Replica* find(const health::Member& member) const;

  // That round is about to be posted to all threads; true when a drain waits for it.
  bool begin_round(std::uint64_t round);
  // Those that have drained and have not been told, when every thread has taken that round.
  [[nodiscard]] std::vector<Drained> take_drained(std::uint64_t round);
  // take_drained() names all again: another may ask for it.
  void tell_again();
  // What discovery has found.
  [[nodiscard]] DiscoveredMembers& discovered() { return discovered_; }
  [[nodiscard]] const DiscoveredMembers& discovered() const { return discovered_; }
  // Not in any list any more.
  void left(const health::Member& member) { known_.left(member); }

 private:
  [[nodiscard]] SharedMember member_of(const Replica& replica, const std::string& pool);
  void take_over(Replica& replica, std::vector<Replica>& old);

  MemberRegistry& known_;
  std::vector<ServiceMembers> services_;
  std::vector<Replica> replicas_;  // in the order of services_
  DiscoveredMembers discovered_{known_};
};

}  // namespace portunus::proxy
