#include "proxy/consul_pools.h"

#include "base/check.h"
#include "net/address.h"

namespace portunus::proxy {
namespace {

discovery::WarningRule rule_of(conf::ConsulWarning warning) {
  switch (warning) {
    case conf::ConsulWarning::half_weight:
      return discovery::WarningRule::half_weight;
    case conf::ConsulWarning::consul_weight:
      return discovery::WarningRule::consul_weight;
    case conf::ConsulWarning::unusable:
      return discovery::WarningRule::unusable;
  }
  return discovery::WarningRule::unusable;
}

discovery::ServiceQuery query_of(const conf::ConsulService& service, const conf::Consul& consul) {
  discovery::ServiceQuery query;
  query.service = service.service;
  query.tags = service.tags;
  query.node_meta = service.node_meta;
  query.filter = service.filter;
  query.datacenter = service.datacenter.empty() ? consul.datacenter : service.datacenter;
  query.name_space = service.name_space;
  query.partition = service.partition;
  query.near = service.near;
  query.may_be_stale = service.stale.count() > 0;
  if (query.may_be_stale) query.stale_max_ms = static_cast<std::uint64_t>(service.stale.count());
  query.warning = rule_of(service.warning);
  return query;
}

}  // namespace

discovery::ConsulAgent consul_agent_of(const conf::Consul& consul, const std::string& snapshots) {
  discovery::ConsulAgent agent;
  for (const conf::Address& each : consul.agents) {
    const auto address = net::Address::parse_ip(each.host, each.port);
    CHECK(address);  // the schema lets nothing else through
    agent.endpoints.push_back({*address, {}});
  }
  agent.token = consul.token;
  agent.snapshots = snapshots;
  return agent;
}

std::string consul_key_of(const conf::Pool& pool, const conf::Consul& consul) {
  return pool.consul ? discovery::key_of(query_of(*pool.consul, consul)) : std::string();
}

void add_consul_queries(const conf::Model& model, std::vector<discovery::ServiceQuery>& wanted) {
  for (const conf::Pool& pool : model.pools) {
    if (pool.consul) wanted.push_back(query_of(*pool.consul, model.consul));
  }
}

}  // namespace portunus::proxy
