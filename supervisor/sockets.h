// Listening sockets that were handed to the process by whoever started it: systemd's socket
// activation, sd_listen_fds(3), which is also how the supervisor hands them to a proxy. The giver
// keeps them open, so that nobody is refused while Portunus is restarted. One thread.
#pragma once

#include <string>
#include <vector>

#include "net/address.h"

namespace portunus::supervisor {

class InheritedSockets {
 public:
  // Takes LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES out of the environment, and what they name. What is
  // not a bound TCP socket goes to problems(). Before there are threads.
  InheritedSockets();
  ~InheritedSockets();
  InheritedSockets(const InheritedSockets&) = delete;
  InheritedSockets& operator=(const InheritedSockets&) = delete;

  // A descriptor of the caller's own for a socket at that address; several at one address are given
  // by turns, as threads that have one each want. -1 when there is none, or no descriptor left.
  [[nodiscard]] int open(const net::Address& address, std::size_t turn) const;
  [[nodiscard]] bool has(const net::Address& address) const { return count(address) > 0; }
  [[nodiscard]] std::size_t count(const net::Address& address) const;
  struct Socket {
    int descriptor;
    net::Address address;
  };
  [[nodiscard]] const std::vector<Socket>& sockets() const { return sockets_; }
  [[nodiscard]] std::size_t size() const { return sockets_.size(); }
  // One more, which came later; takes ownership.
  void add(const net::Address& address, int descriptor) {
    sockets_.push_back({descriptor, address});
  }
  // Closes those at other addresses.
  void retain(const std::vector<net::Address>& wanted);
  // Those at none of these addresses: who connects there waits in vain.
  [[nodiscard]] std::vector<net::Address> others(const std::vector<net::Address>& wanted) const;
  [[nodiscard]] const std::vector<std::string>& problems() const { return problems_; }

 private:
  std::vector<Socket> sockets_;
  std::vector<std::string> problems_;
};

}  // namespace portunus::supervisor
