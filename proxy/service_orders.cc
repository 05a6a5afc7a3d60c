#include "proxy/service_orders.h"

#include <algorithm>
#include <utility>

namespace portunus::proxy {

using supervisor::Kind;
using supervisor::Message;
using supervisor::OrderResult;

ServiceOrders::ServiceOrders(net::Loop& loop, supervisor::Link& link)
    : loop_(loop),
      link_(link),
      patience_(this, [](void* self) { static_cast<ServiceOrders*>(self)->give_up(); }) {}

bool ServiceOrders::give(const supervisor::ServiceOrder& order, ServiceOrderWaiter& waiter) {
  Message message(Kind::order, order.verb);
  message.service = order.service;
  message.count = static_cast<std::uint32_t>(std::max<std::int64_t>(order.replicas, 0));
  message.id = ++last_id_;
  if (!link_.send(message)) return false;
  waiting_.push_back({message.id, &waiter});
  loop_.timers().arm(patience_, kPatienceMs);
  return true;
}

void ServiceOrders::withdraw(const ServiceOrderWaiter& waiter) {
  std::erase_if(waiting_, [&](const Waiting& each) { return each.waiter == &waiter; });
}

void ServiceOrders::note(const Message& message) {
  const auto found = std::ranges::find(waiting_, message.id, &Waiting::id);
  if (found == waiting_.end()) return;
  ServiceOrderWaiter* const waiter = found->waiter;
  waiting_.erase(found);
  if (waiting_.empty()) patience_.disarm();
  const bool is_known = message.count <= static_cast<std::uint32_t>(OrderResult::unanswered);
  waiter->on_ordered(
      {is_known ? static_cast<OrderResult>(message.count) : OrderResult::refused, message.text});
}

void ServiceOrders::give_up() {
  for (const Waiting& each : std::exchange(waiting_, {}))
    each.waiter->on_ordered({OrderResult::unanswered, "the supervisor does not answer"});
}

}  // namespace portunus::proxy
