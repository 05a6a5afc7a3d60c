// Where members are discovered in Consul, as the configuration describes it. See conf/model.h for what
// holds for all of it.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "conf/model_values.h"

namespace portunus::conf {

// The agents that are asked.
struct Consul {
  std::vector<Address> agents{{"127.0.0.1", 8500}};  // IP addresses; the next when one fails
  std::string token;                                 // a secret: never shown; empty = none
  std::string datacenter;                            // of pools that name none; empty = the agent's
  friend bool operator==(const Consul&, const Consul&) = default;
};

// What an instance is worth one of whose checks is a warning.
enum class ConsulWarning : std::uint8_t { half_weight, consul_weight, unusable };

// The instances of one service become members of the pool.
struct ConsulService {
  std::string service;
  std::vector<std::string> tags;  // instances have all of them
  std::vector<std::pair<std::string, std::string>> node_meta;
  std::string filter;      // an expression of Consul's; empty = none
  std::string datacenter;  // empty = Consul::datacenter
  std::string name_space;
  std::string partition;
  std::string near;
  Milliseconds stale{0};  // answers of followers may be so old; 0 = the leader's are asked for
  ConsulWarning warning = ConsulWarning::half_weight;
  friend bool operator==(const ConsulService&, const ConsulService&) = default;
};

}  // namespace portunus::conf
