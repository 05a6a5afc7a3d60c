// What the Consul source is told: which agents, and which services. Values; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "net/address.h"
#include "net/tls_client.h"

namespace portunus::discovery {

// What an instance with a warning check is worth.
enum class WarningRule : std::uint8_t {
  consul_weight,  // the registration's Weights.Warning
  half_weight,    // half of a passing one: under this rule passing ones have double weights
  unusable,       // `passing_only`
};

// Which losses of instances are believed only after a confirmation (member_guard.h).
struct GuardRule {
  bool is_on = true;
  std::uint32_t loss_percent = 50;          // of the usable instances; more than that is guarded
  std::uint32_t loss_min = 2;               // so many at least, unless none is left
  std::uint64_t confirm_after_ms = 10'000;  // a loss stands after this
  std::uint64_t confirm_empty_ms = 60'000;  // and one of all instances, or after a loss of state
  std::uint32_t alive_factor = 10;  // times as long while our probes still find a lost one good
  friend bool operator==(const GuardRule&, const GuardRule&) = default;
};

// One service as pools want it. Equal ones share a watch.
struct ServiceQuery {
  std::string service;
  std::vector<std::string> tags{};  // all of them
  std::vector<std::pair<std::string, std::string>> node_meta{};
  std::string filter{};  // an expression of Consul's
  std::string datacenter{};
  std::string name_space{};
  std::string partition{};
  std::string near{};                   // "_agent", a node, or empty
  bool may_be_stale = false;            // any server may answer
  std::uint64_t stale_max_ms = 10'000;  // with an answer not older than this
  WarningRule warning = WarningRule::half_weight;
  GuardRule guard{};
  friend bool operator==(const ServiceQuery&, const ServiceQuery&) = default;
};

// One text for equal queries and different ones for others; the service's name when that says all.
// For logs, metrics, the API and the names of snapshots.
[[nodiscard]] std::string key_of(const ServiceQuery& query);

struct ConsulEndpoint {
  net::Address address;
  std::string host;  // the Host field; empty = the address
  friend bool operator==(const ConsulEndpoint&, const ConsulEndpoint&) = default;
};

struct ConsulAgent {
  std::vector<ConsulEndpoint> endpoints;  // asked in this order; the next when one fails
  net::SharedTlsClient tls;               // null = in the clear
  std::string tls_host;                   // that the certificate is for; empty = the address
  std::string token;                      // for X-Consul-Token; empty = none. Never logged
  std::string token_file;                 // instead of it: read again whenever it has changed
  std::uint64_t wait_ms = 60'000;         // of a blocking query; 1 s and more
  std::uint64_t answer_ms = 5'000;        // for an answer beyond the wait, and for one without
  std::uint64_t retry_min_ms = 1'000;     // after a failure; doubles
  std::uint64_t retry_max_ms = 30'000;    // up to this
  std::size_t answer_max = std::size_t{8} * 1024 * 1024;  // bytes of an answer
  std::size_t instances_max = 4'096;                      // of a service
  std::uint32_t connections_max = 150;  // blocking queries at a time; an agent allows 200
  std::string snapshots;  // the folder of lists for a start without Consul; empty = none
  std::uint64_t snapshot_max_age_ms = std::uint64_t{7} * 24 * 3'600'000;
  friend bool operator==(const ConsulAgent&, const ConsulAgent&) = default;
};

}  // namespace portunus::discovery
