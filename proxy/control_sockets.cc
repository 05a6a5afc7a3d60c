// The listening sockets of a configuration that is about to run: inherited, or bound anew.
#include <unistd.h>

#include <algorithm>

#include "base/log.h"
#include "proxy/control.h"

namespace portunus::proxy {

// Binds what is new, for every worker; all or nothing.
bool Control::open_sockets(const Generation& generation, std::string& why) {
  const std::vector<conf::Listener>& wanted = generation.model->listeners;
  pending_sockets_.assign(workers_.size(), std::vector<int>(wanted.size(), -1));
  std::vector<net::Address> addresses;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (is_listening(wanted[i].address)) continue;
    const auto address = listening_address(wanted[i].address);
    std::string reason = address ? "" : address.error();
    if (address && open_listener(i, *address, reason)) {
      addresses.push_back(*address);
      continue;
    }
    why = "listener " + wanted[i].name + " (" + wanted[i].declared_at + "): " + reason;
    close_new_sockets();
    return false;
  }
  if (current_ || link_.is_supervised()) return true;
  for (const net::Address& other : inherited_.others(addresses)) {
    base::log(base::LogLevel::warn, "proxy", "LISTEN_FDS: {} is no listener of the configuration",
              other.text());
  }
  return true;
}

bool Control::is_listening(const conf::Address& address) const {
  return current_ && std::ranges::any_of(current_->model->listeners,
                                         [&](const auto& open) { return open.address == address; });
}

bool Control::open_listener(std::size_t index, const net::Address& address, std::string& why) {
  if (inherited_.has(address)) {
    for (std::size_t worker = 0; worker < workers_.size(); ++worker) {
      pending_sockets_[worker][index] = inherited_.open(address, worker);
      if (pending_sockets_[worker][index] >= 0) continue;
      why = "out of file descriptors";
      return false;
    }
    return true;
  }
  if (link_.is_supervised()) {
    why = address.text() + ": the supervisor has no socket for it";
    return false;
  }
  const auto shares_port = [&](const conf::Listener& open) {
    return open.address.port == address.port();
  };
  // With SO_REUSEPORT alone, a second instance would silently take half of the connections.
  if (!current_ || std::ranges::none_of(current_->model->listeners, shares_port)) {
    auto alone = net::open_listening_socket(address, false);
    if (!alone) {
      why = alone.error();
      return false;
    }
    ::close(*alone);
  }
  for (std::size_t worker = 0; worker < workers_.size(); ++worker) {
    auto socket = net::open_listening_socket(address, true);
    if (!socket) {
      why = socket.error();
      return false;
    }
    pending_sockets_[worker][index] = *socket;
  }
  return true;
}

void Control::close_new_sockets() {
  for (std::vector<int>& sockets : pending_sockets_) {
    for (const int descriptor : sockets) {
      if (descriptor >= 0) ::close(descriptor);
    }
  }
  pending_sockets_.clear();
}

}  // namespace portunus::proxy
