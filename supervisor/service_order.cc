#include "supervisor/service_order.h"

#include <limits>
#include <utility>

#include "base/log.h"
#include "supervisor/services.h"

namespace portunus::supervisor {
namespace {

OrderAnswer answer_of(Service::Outcome outcome) {
  if (outcome) return {};
  return {OrderResult::refused, std::move(outcome).error()};
}

}  // namespace

OrderAnswer carry_out(Services& services, const ServiceOrder& order, RollListener* listener) {
  Service* const service = services.find(order.service);
  if (service == nullptr)
    return {OrderResult::unknown_service, "no service is named " + order.service};
  if (order.verb == "roll") return answer_of(service->roll(listener));
  if (order.verb == "restart") return answer_of(service->restart());
  if (order.verb == "scale") {
    if (order.replicas < 0 || order.replicas > std::numeric_limits<std::uint32_t>::max())
      return {OrderResult::senseless, "replicas: a number is needed"};
    return answer_of(service->scale(static_cast<std::uint32_t>(order.replicas)));
  }
  if (order.verb != "start" && order.verb != "stop")
    return {OrderResult::senseless, "no such verb: " + order.verb};
  base::log(base::LogLevel::info, "supervisor", "service {}: {} was asked for", service->name(),
            order.verb);
  if (order.verb == "start") {
    service->start();
  } else {
    service->stop();
  }
  return {};
}

}  // namespace portunus::supervisor
