// Whether a service has come to what was asked of it, and how far it is: for a command that waits.
// Owned by ServiceCommands, which looks again whenever something has changed; it holds no pointer to
// the service. Supervisor's thread.
//
//   wait for   is over well when                              is over badly when
//   ready      as many replicas as are wanted run, no others  it is stopped, removed, or wants
//   renewed    the same, each in another process than when      another number than was asked for;
//              it was asked                                   a replica has ended for good
//   stopped    no process is left                             it is started, or removed
#pragma once

#include <cstdint>
#include <string>

#include "supervisor/service.h"

namespace portunus::supervisor {

enum class WaitFor : std::uint8_t { ready, renewed, stopped };

class ServiceWait {
 public:
  struct Look {
    std::string line;  // how far it is; for people
    bool is_over = false;
    Service::Outcome outcome;  // when it is
  };

  // Before the order is given.
  ServiceWait(const Service& service, WaitFor what);
  // Of an order that wants so many replicas.
  void want(std::int64_t replicas) { wanted_ = replicas; }

  [[nodiscard]] const std::string& service() const { return service_; }
  // Null: there is no such service any more.
  [[nodiscard]] Look look(const Service* service) const;

 private:
  [[nodiscard]] bool is_there(const ReplicaRecord& replica) const;

  std::string service_;
  WaitFor what_;
  std::uint32_t last_life_ = 0;  // of any replica when it was asked
  std::int64_t wanted_ = -1;     // -1: what the service says
};

}  // namespace portunus::supervisor
