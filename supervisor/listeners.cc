#include "supervisor/listeners.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "net/listener.h"

namespace portunus::supervisor {
namespace {

constexpr int kBacklog = 4096;  // the kernel takes its own maximum when that is lower

void close_each(std::vector<OpenSocket>& sockets) {
  for (const OpenSocket& socket : sockets)
    ::close(socket.descriptor);
  sockets.clear();
}

}  // namespace

Listeners::~Listeners() {
  close_all();
}

void Listeners::close_all() {
  close_each(fresh_);
  close_each(sockets_);
}

bool Listeners::is_open(const net::Address& address) const {
  return std::ranges::find(sockets_, address, &OpenSocket::address) != sockets_.end();
}

bool Listeners::prepare(const std::vector<WantedListener>& wanted, std::string& why) {
  abandon();
  for (const WantedListener& listener : wanted) {
    wanted_.push_back(listener.address);
    if (is_open(listener.address)) continue;
    std::string reason;
    if (open(listener, reason)) continue;
    why = listener.what + ": " + reason;
    abandon();
    return false;
  }
  return true;
}

bool Listeners::open(const WantedListener& wanted, std::string& why) {
  if (inherited_.has(wanted.address)) {
    const std::size_t count = inherited_.count(wanted.address);
    for (std::size_t i = 0; i < count; ++i) {
      const int descriptor = inherited_.open(wanted.address, i);
      if (descriptor < 0) {
        why = "out of file descriptors";
        return false;
      }
      fresh_.push_back({wanted.address, descriptor});
    }
    return true;
  }
  const auto shares_port = [&](const OpenSocket& open) {
    return open.address.port() == wanted.address.port();
  };
  // With SO_REUSEPORT alone, a second instance would silently take half of the connections.
  if (wanted.sockets > 1 && std::ranges::none_of(sockets_, shares_port)) {
    auto alone = net::open_listening_socket(wanted.address, false);
    if (!alone) {
      why = alone.error();
      return false;
    }
    ::close(*alone);
  }
  for (std::size_t i = 0; i < wanted.sockets; ++i) {
    auto socket = net::open_listening_socket(wanted.address, wanted.sockets > 1);
    if (!socket) {
      why = socket.error();
      return false;
    }
    if (::listen(*socket, kBacklog) != 0) {
      why = wanted.address.text() + ": address already in use";
      ::close(*socket);
      return false;
    }
    fresh_.push_back({wanted.address, *socket});
  }
  return true;
}

void Listeners::commit() {
  sockets_.insert(sockets_.end(), fresh_.begin(), fresh_.end());
  fresh_.clear();
  std::erase_if(sockets_, [&](const OpenSocket& socket) {
    if (std::ranges::find(wanted_, socket.address) != wanted_.end()) return false;
    ::close(socket.descriptor);
    return true;
  });
  wanted_.clear();
}

void Listeners::abandon() {
  close_each(fresh_);
  wanted_.clear();
}

}  // namespace portunus::supervisor
