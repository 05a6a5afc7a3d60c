// What pools with `consul` want of discovery, from the model's words into those of the source. Pure
// functions; any thread.
#pragma once

#include <string>
#include <vector>

#include "conf/model.h"
#include "discovery/consul_settings.h"

namespace portunus::proxy {

// `snapshots` is the folder of lists for a start without Consul.
[[nodiscard]] discovery::ConsulAgent consul_agent_of(const conf::Consul& consul,
                                                     const std::string& snapshots);
// Empty for a pool without `consul`.
[[nodiscard]] std::string consul_key_of(const conf::Pool& pool, const conf::Consul& consul);
// Adds those of the model's pools.
void add_consul_queries(const conf::Model& model, std::vector<discovery::ServiceQuery>& wanted);

}  // namespace portunus::proxy
