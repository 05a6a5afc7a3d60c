// The listening sockets, as the supervisor owns them for the proxies: bound once, listening from then
// on, so that clients wait in the kernel's queue while no proxy runs. Changes come in two steps:
// prepare() opens what is new, and commit() or abandon() closes what is not needed. Supervisor's
// thread.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "net/address.h"
#include "supervisor/sockets.h"

namespace portunus::supervisor {

struct WantedListener {
  std::string what;         // "listener front (portunus.yaml:3)", for messages
  net::Address address;     // port above 0
  std::size_t sockets = 1;  // one for each thread of the proxy, which share the port
};

struct OpenSocket {
  net::Address address;
  int descriptor = -1;
};

class Listeners {
 public:
  // What the service manager has handed over is taken instead of an own socket.
  explicit Listeners(const InheritedSockets& inherited) : inherited_(inherited) {}
  ~Listeners();
  Listeners(const Listeners&) = delete;
  Listeners& operator=(const Listeners&) = delete;

  // Opens those that are not open yet: all of them or none; the error is one line.
  [[nodiscard]] bool prepare(const std::vector<WantedListener>& wanted, std::string& why);
  // Since prepare(): the sockets that it has opened.
  [[nodiscard]] const std::vector<OpenSocket>& fresh() const { return fresh_; }
  void commit();
  void abandon();
  // From an earlier incarnation of this process.
  void adopt(std::vector<OpenSocket> sockets) { sockets_ = std::move(sockets); }
  [[nodiscard]] const std::vector<OpenSocket>& sockets() const { return sockets_; }
  // Nobody is accepted any more once the proxy has closed its own copies.
  void close_all();

 private:
  [[nodiscard]] bool is_open(const net::Address& address) const;
  [[nodiscard]] bool open(const WantedListener& wanted, std::string& why);

  const InheritedSockets& inherited_;
  std::vector<OpenSocket> sockets_;
  std::vector<OpenSocket> fresh_;
  std::vector<net::Address> wanted_;  // by the last prepare()
};

}  // namespace portunus::supervisor
