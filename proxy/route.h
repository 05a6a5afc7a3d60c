// What a match means: the immutable, ready-to-run form of one configured route. Built once per
// generation by route_table.cc, read by all threads, owned by the route table.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "conf/model.h"

namespace portunus::proxy {

enum class RouteAction : std::uint8_t { forward, redirect, respond };

struct Route {
  std::string name;         // the `route` label: from the configuration, never from a client
  std::size_t index = 0;    // dense over the generation
  std::uint32_t metrics_id = 0;  // MetricsRegistry's: the same name keeps it over generations
  RouteAction action = RouteAction::forward;
  conf::Forward forward;    // shares index the generation's pools
  std::uint32_t weight_sum = 0;
  conf::Redirect redirect;
  conf::Respond respond;
  // Site first, then route; done in the order remove, set, add each.
  std::vector<const conf::HeaderChanges*> request_headers;   // only non-empty ones
  std::vector<const conf::HeaderChanges*> response_headers;  // only non-empty ones
  std::uint64_t body_bytes_max = 0;                          // 0 = no limit
  bool has_total = false;                                    // total_ms instead of the pool's
  std::uint64_t total_ms = 0;                                // 0 = no limit
};

struct RouteMatch {
  const Route* route = nullptr;   // null: nothing matches
  std::string_view path_rest;     // what the star of the matched path stood for, without leading slash
};

}  // namespace portunus::proxy
