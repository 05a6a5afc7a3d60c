// The Member objects of this program by pool, name and address: one for as long as anybody holds it,
// so that health, counters and connections outlive reloads and changes of a list; and what operators
// have asked of them. Control thread only.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>

#include "net/address.h"
#include "proxy/member_list.h"
#include "proxy/member_orders.h"
#include "proxy/metrics_registry.h"

namespace portunus::proxy {

class MemberRegistry {
 public:
  explicit MemberRegistry(MetricsRegistry& metrics) : metrics_(metrics) {}

  // The same object as before; another one only when metrics have forgotten the name meanwhile, for
  // its number may not change. The name counts as in use (MetricsRegistry::member_id).
  [[nodiscard]] SharedMember get(const std::string& pool,
                                 const std::string& name,
                                 const net::Address& address);
  // It is in no list any more.
  void left(const health::Member& member);
  void forget_gone();
  // A new object gets what is asked of its name.
  [[nodiscard]] MemberOrders& orders() { return orders_; }
  [[nodiscard]] const MemberOrders& orders() const { return orders_; }

 private:
  MetricsRegistry& metrics_;
  MemberOrders orders_;
  std::unordered_map<std::string, std::weak_ptr<health::Member>> members_;
};

}  // namespace portunus::proxy
