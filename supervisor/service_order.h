// What an operator may have a service do, and whether it has been taken: from the command line
// (service_commands.h) or from the admin interface, over the proxy's link. Plain values, and the one
// function that hands them to the services. Supervisor's thread.
#pragma once

#include <cstdint>
#include <string>

#include "supervisor/roll.h"

namespace portunus::supervisor {

class Services;

struct ServiceOrder {
  std::string verb;  // start, stop, restart, scale, roll
  std::string service;
  std::int64_t replicas = -1;  // for `scale`
};

// How an order is taken. The numbers go over the link.
enum class OrderResult : std::uint8_t { taken, unknown_service, refused, senseless, unanswered };

struct OrderAnswer {
  OrderResult result = OrderResult::taken;
  std::string why;  // one line, when it is not taken
};

// The listener, which may be null, is told of a roll that has begun.
[[nodiscard]] OrderAnswer carry_out(Services& services,
                                    const ServiceOrder& order,
                                    RollListener* listener);

}  // namespace portunus::supervisor
