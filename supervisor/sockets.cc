#include "supervisor/sockets.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "supervisor/variables.h"

namespace portunus::supervisor {
namespace {

constexpr int kFirst = 3;              // SD_LISTEN_FDS_START
constexpr std::uint64_t kMost = 4096;  // more is no number of sockets

bool is_stream(int descriptor) {
  int type = 0;
  socklen_t size = sizeof type;
  return ::getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM;
}

net::Address address_of(int descriptor) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  auto* where = reinterpret_cast<sockaddr*>(&storage);
  if (::getsockname(descriptor, where, &size) != 0) return {};
  return net::Address::from_sockaddr(where);
}

}  // namespace

InheritedSockets::InheritedSockets() {
  const std::string pid = take_variable("LISTEN_PID");
  const std::uint64_t count = number_of(take_variable("LISTEN_FDS"));
  static_cast<void>(take_variable("LISTEN_FDNAMES"));  // the addresses tell which is which
  if (number_of(pid) != static_cast<std::uint64_t>(::getpid())) return;
  for (std::uint64_t i = 0; i < std::min(count, kMost); ++i) {
    const int descriptor = kFirst + static_cast<int>(i);
    if (::fcntl(descriptor, F_SETFD, FD_CLOEXEC) != 0) {
      problems_.push_back("descriptor " + std::to_string(descriptor) + " is not open");
      continue;
    }
    const net::Address address = address_of(descriptor);
    if (!is_stream(descriptor) || !address.is_set() || address.port() == 0) {
      problems_.push_back("descriptor " + std::to_string(descriptor) + " is not a TCP listener");
      ::close(descriptor);
      continue;
    }
    const int on = 1;  // as on our own; what is accepted inherits it
    ::setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    sockets_.push_back({descriptor, address});
  }
}

InheritedSockets::~InheritedSockets() {
  for (const Socket& socket : sockets_)
    ::close(socket.descriptor);
}

std::size_t InheritedSockets::count(const net::Address& address) const {
  return static_cast<std::size_t>(std::ranges::count(sockets_, address, &Socket::address));
}

void InheritedSockets::retain(const std::vector<net::Address>& wanted) {
  std::erase_if(sockets_, [&](const Socket& socket) {
    if (std::ranges::find(wanted, socket.address) != wanted.end()) return false;
    ::close(socket.descriptor);
    return true;
  });
}

std::vector<net::Address> InheritedSockets::others(const std::vector<net::Address>& wanted) const {
  std::vector<net::Address> found;
  for (const Socket& socket : sockets_) {
    if (std::ranges::find(wanted, socket.address) == wanted.end()) found.push_back(socket.address);
  }
  return found;
}

int InheritedSockets::open(const net::Address& address, std::size_t turn) const {
  const std::size_t known = count(address);
  if (known == 0) return -1;
  const std::size_t wanted = turn % known;
  std::size_t place = 0;
  for (const Socket& socket : sockets_) {
    if (!(socket.address == address)) continue;
    if (place == wanted) return ::fcntl(socket.descriptor, F_DUPFD_CLOEXEC, 0);
    ++place;
  }
  return -1;
}

}  // namespace portunus::supervisor
