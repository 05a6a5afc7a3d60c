// What the command line may ask of the supervisor, over its control socket. One JSON object in; JSON
// objects out, the last one with "done": true, "ok" and, when it is not, "error".
//
//   {"verb": "services", "service": ""}             {"services": [...]}: service_view.h
//   {"verb": "scale", "service": S, "replicas": N}
//   {"verb": "start" | "stop" | "restart", "service": S}
//     both with "wait": true as well               {"progress": "line"} until it is so: service_wait.h
//   {"verb": "roll", "service": S}                  {"progress": "line"} until it is over
//   {"verb": "upgrade"}                             the same; the last line comes from the program
//                                                   that the supervisor has become (resume.h)
//
// Owned by the supervisor; its thread.
#pragma once

#include <uv.h>

#include <expected>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "supervisor/control_socket.h"
#include "supervisor/service_order.h"
#include "supervisor/service_wait.h"
#include "supervisor/services.h"

namespace portunus::supervisor {

class UpgradeHost {
 public:
  // The error says why not now. Else tell_upgrade() and at last end_upgrade() are called, in later
  // turns, or the process executes the new program.
  [[nodiscard]] virtual std::expected<void, std::string> upgrade() = 0;
  // has_waiters() may be false now. From the loop.
  virtual void on_waiter_gone() = 0;

 protected:
  ~UpgradeHost() = default;
};

class ServiceCommands final : private ControlHandler {
 public:
  // Both outlive it.
  ServiceCommands(uv_loop_t& loop, Services& services, UpgradeHost& host);
  ~ServiceCommands();
  ServiceCommands(const ServiceCommands&) = delete;
  ServiceCommands& operator=(const ServiceCommands&) = delete;

  // In the folder of the state, which is made. When it cannot be, the log says so, and nobody asks.
  void open(const std::string& folder);
  // The supervisor stops: from now on it only shows.
  void refuse_changes();
  // Of services: who waits for something may be told.
  void on_changed();
  // From elsewhere than the socket.
  [[nodiscard]] OrderAnswer order(const ServiceOrder& order, RollListener* listener = nullptr);

  // Some command waits for what it has asked a service for.
  [[nodiscard]] bool has_waiters() const { return !waiters_.empty(); }

  // To who asked for the upgrade, if anybody did and still waits.
  void tell_upgrade(std::string_view line);
  void end_upgrade(const Service::Outcome& outcome);
  // The connection to that one, -1 when there is none: it stays open over the execve() ...
  [[nodiscard]] int upgrade_client() const;
  // ... and the program that comes answers on it, and closes it.
  static void answer_upgrade(int descriptor, std::string_view line);

 private:
  class RollWatch;
  struct Request;
  struct Waiter {
    ControlClient* client;
    ServiceWait wait;
    std::string told;  // the last line
  };

  void on_request(ControlClient& client, std::string_view line) override;
  void on_client_gone(ControlClient& client) override;
  void show(ControlClient& client, const std::string& name) const;
  void roll(ControlClient& client, const ServiceOrder& wanted);
  void change(ControlClient& client, const Request& request);
  // True: it is over.
  [[nodiscard]] bool tell(Waiter& waiter) const;
  void upgrade(ControlClient& client);

  uv_loop_t& loop_;
  Services& services_;
  UpgradeHost& upgrade_host_;
  ControlClient* upgrader_ = nullptr;  // waits for the outcome
  std::unique_ptr<ControlSocket> socket_;
  std::list<std::unique_ptr<RollWatch>> watches_;
  std::vector<Waiter> waiters_;
  bool is_closed_ = false;
};

}  // namespace portunus::supervisor
