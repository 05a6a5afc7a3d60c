#include "proxy/generation.h"

#include "base/clock.h"
#include "base/log.h"
#include "proxy/consul_pools.h"
#include "proxy/generation_builder.h"
#include "proxy/resolve.h"
#include "proxy/tls_members.h"

namespace portunus::proxy {

Generation::Generation(std::unique_ptr<const conf::Model> loaded,
                       RouteTable table,
                       std::atomic<std::uint32_t>& alive_count)
    : model(std::move(loaded)), routes(std::move(table)), alive_(alive_count) {
  alive_.fetch_add(1, std::memory_order_relaxed);
}

Generation::~Generation() {
  alive_.fetch_sub(1, std::memory_order_relaxed);
}

namespace {

const net::Address* address_before(const MemberList* list, const std::string& name) {
  if (list == nullptr) return nullptr;
  for (const MemberEntry& entry : list->entries) {
    if (entry.member->name == name) return &entry.member->address;
  }
  return nullptr;
}

}  // namespace

// Once there, they stay: what they count is still open.
std::shared_ptr<ClientCounts> GenerationBuilder::counts_for(const conf::Limits& limits) {
  const bool has_limits = limits.client_connections != 0 || limits.client_requests != 0;
  if (has_limits && clients_ == nullptr) clients_ = std::make_shared<ClientCounts>();
  return clients_;
}

// NOLINTNEXTLINE(readability-function-size): all that a generation is made of comes together here
std::expected<std::shared_ptr<Generation>, std::string> GenerationBuilder::build(
    std::unique_ptr<const conf::Model> model,
    RouteTable routes,
    const ResolvedNames& names,
    const Generation* previous,
    std::span<const SharedMemberList> lists,
    InternalCertificates internal) {
  auto tls = make_tls_setup(*model, loaded_certificates(model->certificates), std::move(internal),
                            tickets_);
  if (!tls) return std::unexpected(tls.error());
  auto upstream_tls = make_upstream_tls(*model, previous);
  if (!upstream_tls) return std::unexpected(upstream_tls.error());
  auto generation = std::make_shared<Generation>(std::move(model), std::move(routes), alive_);
  generation->tls = *std::move(tls);
  generation->upstream_tls = *std::move(upstream_tls);
  const conf::Model& config = *generation->model;
  registry_.begin_generation();
  for (const std::string& network : config.trusted_proxies) {
    if (auto added = generation->trusted.add(network); !added) {
      registry_.abandon_generation();
      return std::unexpected("trusted_proxies: " + network + ": " + added.error());
    }
  }
  for (const conf::Listener& listener : config.listeners) {
    net::CidrSet& proxies = generation->proxies.emplace_back();
    for (const std::string& network : listener.proxies) [[maybe_unused]]
      const auto added = proxies.add(network);  // known to be accepted
  }
  std::unordered_map<std::string_view, std::size_t> known;
  if (previous != nullptr) {
    for (std::size_t i = 0; i < previous->model->pools.size(); ++i) {
      known.emplace(previous->model->pools[i].name, i);
    }
  }
  for (const conf::Pool& pool : config.pools) {
    const auto place = known.find(pool.name);
    const SharedMemberList before = place == known.end() ? nullptr : lists[place->second];
    auto list = list_members(pool, consul_key_of(pool, config.consul), names, before.get());
    if (!list) {
      registry_.abandon_generation();
      return std::unexpected(list.error());
    }
    // The same list as before is the same object: then nothing changes for the pool.
    if (before != nullptr && **list == *before) *list = before;
    generation->members.push_back(std::move(*list));
    generation->pool_shares.push_back(place != known.end() ? previous->pool_shares[place->second]
                                                           : std::make_shared<PoolShare>());
    generation->pool_ids.push_back(registry_.pool_id(pool.name));
  }
  for (const conf::Listener& listener : config.listeners) {
    generation->listener_ids.push_back(registry_.listener_id(listener.name));
    generation->listener_shares.push_back(share_of(listener, previous));
  }
  generation->clients = counts_for(config.limits);
  generation->rate_limits =
      make_rate_limits(config, previous != nullptr ? &previous->rate_limits : nullptr);
  generation->routes.set_limiters(generation->rate_limits.of_route);
  generation->routes.set_metrics_ids(
      [&](std::string_view name) { return registry_.route_id(name); });
  generation->routes.set_site_ids(config.sites,
                                  [&](std::string_view name) { return registry_.site_id(name); });
  registry_.end_generation(base::monotonic_ns() / 1'000'000);
  generation->log_names.listeners = registry_.listener_names();
  generation->number = ++number_;
  generation->loaded_us = base::wall_us();
  members_.forget_gone();
  return generation;
}

std::shared_ptr<ListenerShare> GenerationBuilder::share_of(const conf::Listener& listener,
                                                           const Generation* previous) {
  if (previous != nullptr) {
    const std::vector<conf::Listener>& known = previous->model->listeners;
    for (std::size_t i = 0; i < known.size(); ++i) {
      if (known[i].address == listener.address) return previous->listener_shares[i];
    }
  }
  return std::make_shared<ListenerShare>();
}

std::expected<SharedMemberList, std::string> GenerationBuilder::list_members(
    const conf::Pool& pool,
    const std::string& query,
    const ResolvedNames& names,
    const MemberList* before) {
  auto list = std::make_shared<MemberList>();
  for (const conf::Upstream& upstream : pool.upstreams) {
    const bool v6 = upstream.address.host.find(':') != std::string::npos;
    const std::string name = (v6 ? "[" + upstream.address.host + "]" : upstream.address.host) +
                             ":" + std::to_string(upstream.address.port);
    std::expected<net::Address, std::string> address = names.at(upstream.address.host);
    if (address) {
      address->set_port(upstream.address.port);
    } else if (const net::Address* known = address_before(before, name)) {
      base::log(base::LogLevel::warn, "config", "pool {}: {}: {}; its address stays", pool.name,
                name, address.error());
      address = *known;
    } else {
      return std::unexpected("pool " + pool.name + ": " + name + ": " + address.error());
    }
    list->entries.push_back(
        {members_.get(pool.name, name, *address), upstream.weight, upstream.backup});
  }
  list->fixed = list->entries.size();
  return dynamic_.merge(pool.name, list, DynamicMembers::View::next, query);
}

}  // namespace portunus::proxy
