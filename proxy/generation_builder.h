// Makes generations out of loaded configurations: resolves members, keeps the objects of those that
// are known already, gives ids to the names of metrics. Control thread only.
#pragma once

#include <atomic>
#include <expected>
#include <memory>
#include <string>
#include <unordered_map>

#include "proxy/generation.h"
#include "proxy/metrics_registry.h"
#include "proxy/resolve.h"

namespace portunus::proxy {

// One Member object per (pool, name, address) for as long as anybody holds it.
class MemberRegistry {
 public:
  [[nodiscard]] SharedMember get(const std::string& pool,
                                 const std::string& name,
                                 const net::Address& address);
  void forget_gone();

 private:
  std::unordered_map<std::string, std::weak_ptr<health::Member>> members_;
};

class GenerationBuilder {
 public:
  explicit GenerationBuilder(MetricsRegistry& registry) : registry_(registry) {}

  // `names` holds every member's host. One that could not be resolved this time keeps the address
  // that it has in `previous` (may be null). The error is one line.
  [[nodiscard]] std::expected<std::shared_ptr<Generation>, std::string> build(
      std::unique_ptr<const conf::Model> model,
      RouteTable routes,
      const ResolvedNames& names,
      const Generation* previous);
  [[nodiscard]] std::uint32_t alive() const { return alive_.load(std::memory_order_relaxed); }

 private:
  [[nodiscard]] std::expected<SharedMemberList, std::string> list_members(
      const conf::Pool& pool, const ResolvedNames& names, const MemberList* before);

  // Listeners are the same when their address is.
  [[nodiscard]] static std::shared_ptr<ListenerShare> share_of(const conf::Listener& listener,
                                                               const Generation* previous);

  MetricsRegistry& registry_;
  MemberRegistry members_;
  std::atomic<std::uint32_t> alive_{0};
  std::uint64_t number_ = 0;
};

}  // namespace portunus::proxy
