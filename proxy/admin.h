// The admin listener: health answers, metrics and the /v1 API over HTTP/1.1 on a loopback address.
// On the control thread's loop, owned by Control; knows nothing of the data plane but what
// AdminSource tells. Not on the path of a request: it may allocate, but its connections, bodies and
// waiting times are bounded. Browsers cannot drive it from another site: Host and Origin are
// checked and no GET changes anything. Other users of the machine need the token, if one is set.
#pragma once

#include <expected>
#include <string>

#include "net/address.h"

namespace portunus::conf {
struct Admin;
}  // namespace portunus::conf

namespace portunus::net {
class Loop;
}  // namespace portunus::net

namespace portunus::supervisor {
class InheritedSockets;
}  // namespace portunus::supervisor

namespace portunus::proxy {

// Where it is to listen. The error names the cause.
[[nodiscard]] std::expected<net::Address, std::string> admin_address(const conf::Admin& config);

class AdminDoors;
class AdminSource;

class Admin final {
 public:
  // Both outlive this object.
  Admin(net::Loop& loop, AdminSource& source);
  // Safe with connections still open as long as the loop lives; withdraws from the source.
  ~Admin();
  Admin(const Admin&) = delete;
  Admin& operator=(const Admin&) = delete;

  // Listens as configured; again after each reload: the same address keeps the socket, another one
  // moves it, `is_enabled = false` closes it. A socket at that address that was handed over is taken
  // instead of an own one. The token is that of the newest `config`; connections to a socket that is
  // given up keep theirs. False with the cause in `why`; then all stays as it was.
  [[nodiscard]] bool open(const conf::Admin& config,
                          const supervisor::InheritedSockets& inherited,
                          std::string& why);
  // Closes the listener and all connections at once; before Loop::stop().
  void stop();
  // Where it listens (with the port that the system chose for port 0); unset when it does not.
  [[nodiscard]] net::Address address() const;

 private:
  AdminDoors* doors_;  // the sockets; outlives this object until the last of them is closed
};

}  // namespace portunus::proxy
