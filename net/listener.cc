#include "net/listener.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace portunus::net {
namespace {

constexpr int kBacklog = 4096;  // the kernel lowers it to net.core.somaxconn

}  // namespace

Listener::Listener(Loop& loop, Acceptor& acceptor, std::size_t index)
    : loop_(&loop), acceptor_(&acceptor), index_(index) {
  uv_tcp_init(loop.uv(), &tcp_);
  tcp_.data = this;
}

bool Listener::start(int descriptor) {
  if (uv_tcp_open(&tcp_, descriptor) != 0) {
    ::close(descriptor);
    return false;
  }
  return uv_listen(handle(), kBacklog, &Listener::on_connection) == 0;
}

void Listener::on_connection(uv_stream_t* handle, int status) {
  auto* self = static_cast<Listener*>(handle->data);
  if (status != 0 || self->closing_) return;
  const Loop::Turn turn(*self->loop_);
  self->waiting_ = true;
  self->acceptor_->on_connection(*self);
}

void Listener::resume() {
  if (waiting_ && !closing_) acceptor_->on_connection(*this);
}

int Listener::take_waiting() {
  uv_os_fd_t own = -1;
  if (closing_ || uv_fileno(reinterpret_cast<uv_handle_t*>(&tcp_), &own) != 0) return -1;
  while (true) {
    const int taken = ::accept4(own, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (taken >= 0 || (errno != EINTR && errno != ECONNABORTED)) return taken;
  }
}

void Listener::close() {
  if (closing_) return;
  closing_ = true;
  uv_close(reinterpret_cast<uv_handle_t*>(&tcp_), [](uv_handle_t* handle) {
    auto* self = static_cast<Listener*>(handle->data);
    const Loop::Turn turn(*self->loop_);
    self->acceptor_->on_listener_closed(*self);
  });
}

std::expected<int, std::string> open_listening_socket(const Address& address, bool shared) {
  sockaddr_storage where;
  const socklen_t length = address.to_sockaddr(where);
  const int descriptor = ::socket(where.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const auto failed = [&](const char* step) {
    const std::string why = address.text() + ": " + step + ": " + strerrordesc_np(errno);
    if (descriptor >= 0) ::close(descriptor);
    return std::unexpected(why);
  };
  if (descriptor < 0) return failed("socket");
  const int on = 1;
  if (::setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0) {
    return failed("SO_REUSEADDR");
  }
  if (shared && ::setsockopt(descriptor, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0) {
    return failed("SO_REUSEPORT");
  }
  if (::setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0) {
    return failed("TCP_NODELAY");
  }
  if (::bind(descriptor, reinterpret_cast<const sockaddr*>(&where), length) != 0) {
    return failed("bind");
  }
  return descriptor;
}

}  // namespace portunus::net
