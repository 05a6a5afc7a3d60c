// Orders to services that came by the admin interface, on their way to the supervisor and back: who
// waits for which answer. Owned by Control; control thread.
#pragma once

#include <cstdint>
#include <vector>

#include "net/loop.h"
#include "net/timer_wheel.h"
#include "proxy/admin_source.h"
#include "supervisor/link.h"
#include "supervisor/message.h"

namespace portunus::proxy {

class ServiceOrders {
 public:
  // The supervisor answers at once, or it hangs.
  static constexpr std::uint64_t kPatienceMs = 10'000;

  ServiceOrders(net::Loop& loop, supervisor::Link& link);
  ServiceOrders(const ServiceOrders&) = delete;
  ServiceOrders& operator=(const ServiceOrders&) = delete;
  ~ServiceOrders() = default;

  // As AdminSource::order_service() and withdraw_order().
  [[nodiscard]] bool give(const supervisor::ServiceOrder& order, ServiceOrderWaiter& waiter);
  void withdraw(const ServiceOrderWaiter& waiter);
  // Kind::ordered.
  void note(const supervisor::Message& message);
  // Before Loop::stop().
  void stop() { patience_.disarm(); }

 private:
  struct Waiting {
    std::uint32_t id;
    ServiceOrderWaiter* waiter;
  };
  void give_up();

  net::Loop& loop_;
  supervisor::Link& link_;
  std::vector<Waiting> waiting_;
  std::uint32_t last_id_ = 0;
  net::Deadline patience_;  // of all of them; begins with each order
};

}  // namespace portunus::proxy
