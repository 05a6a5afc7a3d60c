// What a match means: the immutable, ready-to-run form of one configured route. Built once per
// generation by route_table.cc, read by all threads, owned by the route table. It points into the
// configuration, which the generation therefore keeps.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "conf/model.h"

namespace portunus::proxy {

class AddressRules;
class RateLimiter;

enum class RouteAction : std::uint8_t { forward, redirect, respond };

// Changes of the site, then of the route; null where there are none. See header_edit.h.
using HeaderSteps = std::array<const conf::HeaderChanges*, 2>;

struct Route {
  std::string_view name;  // the `route` label: from the configuration, never from a client
  const conf::Route* config = nullptr;
  HeaderSteps request_headers{};
  HeaderSteps response_headers{};
  // Of its site: what clients must have been asked for; null: nothing.
  const net::ClientRule* client_rule = nullptr;
  const AddressRules* addresses = nullptr;      // null: anybody may ask
  RateLimiter* limiter = nullptr;               // shared by all threads; null: none
  const conf::BasicAuth* basic_auth = nullptr;  // null: without a password
  // That members believe the user's name in; of any route of the site that has one. Empty: none.
  std::string_view user_field;
  const conf::ForwardAuth* forward_auth = nullptr;  // null: no service is asked
  // That such services say who the user is by, on any route of the site; null: none.
  const std::vector<std::string>* auth_fields = nullptr;
  const conf::Compression* compression = nullptr;  // null: answers go as they come
  const conf::Cors* cors = nullptr;                // null: not our business
  std::uint64_t body_bytes_max = 0;                // 0 = no limit
  std::uint64_t total_ms = 0;                      // with has_total; 0 = no limit
  std::uint32_t index = 0;       // dense over the generation, for per-route counters
  std::uint32_t weight_sum = 0;  // of forward().shares
  std::uint32_t metrics_id = 0;  // MetricsRegistry's route id: stable over generations
  std::uint8_t priority = 1;     // of conf::Priority: refused where it is below the thread's level
  RouteAction action = RouteAction::forward;
  bool tells_timing = false;  // answers say where their time went
  bool has_total = false;     // total_ms instead of the pool's

  // Only for the action of that name. The shares index the generation's pools.
  [[nodiscard]] const conf::Forward& forward() const {
    return *std::get_if<conf::Forward>(&config->action);
  }
  [[nodiscard]] const conf::Redirect& redirect() const {
    return *std::get_if<conf::Redirect>(&config->action);
  }
  [[nodiscard]] const conf::Respond& respond() const {
    return *std::get_if<conf::Respond>(&config->action);
  }
};

struct RouteMatch {
  const Route* route = nullptr;  // null: nothing matches
  // What the star of the matched path stood for, without leading slash; a view into the request's
  // path. Of a route without a path: all of it. Of an exact path: empty.
  std::string_view path_rest;
};

}  // namespace portunus::proxy
