// One configuration made ready to run: routes, pools with their members, trusted networks. Built on
// the control thread, immutable, shared by all threads; freed when the last of them lets go.
// Exchanges finish on the generation that they started on.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "conf/model.h"
#include "net/address.h"
#include "net/tls_client.h"
#include "proxy/access_log_buffer.h"
#include "proxy/client_counts.h"
#include "proxy/generation_rate_limits.h"
#include "proxy/member_list.h"
#include "proxy/route_table.h"
#include "proxy/tls_setup.h"

namespace portunus::proxy {

// What the threads count together about one listener. Lives as long as anybody has it open.
struct ListenerShare {
  std::atomic<std::uint64_t> open{0};   // client connections
  std::atomic<bool> is_awaited{false};  // a thread left a connection waiting because of the limit
};

struct Generation {
  Generation(std::unique_ptr<const conf::Model> loaded,
             RouteTable table,
             std::atomic<std::uint32_t>& alive_count);
  ~Generation();
  Generation(const Generation&) = delete;
  Generation& operator=(const Generation&) = delete;

  std::unique_ptr<const conf::Model> model;  // outlives the tables below, which point into it
  RouteTable routes;
  RateLimits rate_limits;                 // the routes point into it
  std::shared_ptr<ClientCounts> clients;  // null: no generation has bounded them yet
  net::CidrSet trusted;
  std::vector<net::CidrSet> proxies;  // by listener index: whose PROXY header is taken, and needed
  // By pool index, as of the moment when it is published: from then on Control and each pool have
  // the list of the day.
  std::vector<SharedMemberList> members;
  std::vector<SharedPoolShare> pool_shares;        // by pool index
  std::vector<net::SharedTlsClient> upstream_tls;  // by pool index; null: in the clear
  std::vector<std::uint32_t> pool_ids;             // MetricsRegistry's, by pool index
  std::vector<std::uint32_t> listener_ids;         // MetricsRegistry's, by listener index
  std::vector<std::shared_ptr<ListenerShare>> listener_shares;  // by listener index
  SharedTlsSetup tls;         // as of the moment when it is published; never null
  std::string sticky_secret;  // of pools without their own; empty when there are none
  LogNames log_names;
  std::string hash;          // of the files, without those of secrets
  std::uint64_t number = 0;  // counts from 1
  std::uint64_t loaded_us = 0;

 private:
  std::atomic<std::uint32_t>& alive_;  // generations alive, a metric
};
using SharedGeneration = std::shared_ptr<const Generation>;

}  // namespace portunus::proxy
