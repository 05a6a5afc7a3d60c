// Makes generations out of loaded configurations: resolves members, keeps the objects of those that
// are known already, adds those that come and go, gives ids to the names of metrics. Control thread
// only.
#pragma once

#include <atomic>
#include <expected>
#include <memory>
#include <span>
#include <string>

#include "proxy/dynamic_members.h"
#include "proxy/generation.h"
#include "proxy/member_registry.h"
#include "proxy/metrics_registry.h"
#include "proxy/resolve.h"
#include "proxy/tls_setup.h"

namespace portunus::proxy {

class GenerationBuilder {
 public:
  explicit GenerationBuilder(MetricsRegistry& registry) : registry_(registry), members_(registry) {}

  // `names` holds every member's host. One that could not be resolved this time keeps the address
  // that it has in `lists`: the lists of the day of `previous` (may be null), by its pool index. The
  // error is one line.
  [[nodiscard]] std::expected<std::shared_ptr<Generation>, std::string> build(
      std::unique_ptr<const conf::Model> model,
      RouteTable routes,
      const ResolvedNames& names,
      const Generation* previous,
      std::span<const SharedMemberList> lists = {},
      InternalCertificates internal = {});
  // Of session tickets, for all generations.
  [[nodiscard]] const std::shared_ptr<net::TicketKeys>& tickets() const { return tickets_; }
  [[nodiscard]] MemberOrders& orders() { return members_.orders(); }
  [[nodiscard]] const MemberOrders& orders() const { return members_.orders(); }
  // Those that come and go; build() takes them as they are then.
  [[nodiscard]] DynamicMembers& dynamic() { return dynamic_; }
  [[nodiscard]] const DynamicMembers& dynamic() const { return dynamic_; }
  [[nodiscard]] std::uint32_t alive() const { return alive_.load(std::memory_order_relaxed); }

 private:
  [[nodiscard]] std::shared_ptr<ClientCounts> counts_for(const conf::Limits& limits);
  [[nodiscard]] std::expected<SharedMemberList, std::string> list_members(
      const conf::Pool& pool,
      const std::string& query,
      const ResolvedNames& names,
      const MemberList* before);

  // Listeners are the same when their address is.
  [[nodiscard]] static std::shared_ptr<ListenerShare> share_of(const conf::Listener& listener,
                                                               const Generation* previous);

  MetricsRegistry& registry_;
  MemberRegistry members_;
  DynamicMembers dynamic_{members_};
  std::shared_ptr<net::TicketKeys> tickets_ = std::make_shared<net::TicketKeys>();
  std::shared_ptr<ClientCounts> clients_;
  std::atomic<std::uint32_t> alive_{0};
  std::uint64_t number_ = 0;
};

}  // namespace portunus::proxy
