// Members that discovery has found: keeps the last list of each query, adds its instances to the lists
// of the pools that want them, and holds back those that discovery does not want used. Owned by
// DynamicMembers; control thread only.
//
//   usable = what discovery says AND a good probe AND nothing that traffic or an operator has against
//   it. One that discovery holds back (maintenance, a critical check) drains: it is there, is probed,
//   and gets no new request. One that is not in the list any more has left: its requests end, and it
//   is forgotten.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "discovery/instance.h"
#include "proxy/member_list.h"
#include "proxy/member_registry.h"

namespace portunus::proxy {

class DiscoveredMembers {
 public:
  // A published state that is another one because discovery wants it.
  struct Change {
    SharedMember member;
    health::MemberState from;
    health::MemberState to;
    std::string reason;
  };

  explicit DiscoveredMembers(MemberRegistry& known) : known_(known) {}

  // The list of a query from now on; never null. Pools see it with their next add_to().
  void set(const std::string& key, discovery::InstanceList instances);
  // Null when it has none.
  [[nodiscard]] discovery::InstanceList list(const std::string& key) const;
  // Lists of other queries are dropped.
  void keep_only(const std::vector<std::string>& keys);

  // Behind the entries of the pool's list: its instances. One that is in the list already stays as it
  // is there.
  void add_to(const std::string& pool, const std::string& key, MemberList& list);
  // Since the last call.
  [[nodiscard]] std::vector<Change> take_changes() { return std::exchange(changes_, {}); }
  // What discovery says of that member; null when it is none of its. Valid until set(), add_to() and
  // keep_only().
  [[nodiscard]] const discovery::Instance* find(const health::Member& member) const;
  // The members that are that instance, one for each pool.
  [[nodiscard]] std::vector<SharedMember> members_of(const discovery::Instance& instance) const;

 private:
  struct Known {
    SharedMember member;
    discovery::Instance instance;
  };
  using PoolAndKey = std::pair<std::string, std::string>;

  void release(const std::vector<Known>& gone);
  void publish(const Known& known);

  MemberRegistry& known_;
  std::map<std::string, discovery::InstanceList> lists_;  // by key
  std::map<PoolAndKey, std::vector<Known>> pools_;
  std::vector<Change> changes_;
};

// Why discovery holds an instance back or is in doubt of it, for people; empty = it is passing.
[[nodiscard]] std::string reason_of(const discovery::Instance& instance);

}  // namespace portunus::proxy
