#include "net/listener.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace portunus::net {
namespace {

constexpr int kBacklog = 4096;  // the kernel lowers it to net.core.somaxconn
// Of one event at most; then the connections that stand already have their turn.
constexpr int kBatchMax = 64;
constexpr int kFullBatches = 8;  // in a row, before a larger one is tried
// Out of descriptors or memory, nobody tells when there are some again.
constexpr std::uint64_t kRetryMs = 100;

// Of ours, not of the connection that was to be accepted (accept(2), "Error handling").
bool is_shortage(int error_number) {
  return error_number == EMFILE || error_number == ENFILE || error_number == ENOBUFS ||
         error_number == ENOMEM;
}

}  // namespace

Listener::Listener(Loop& loop, Acceptor& acceptor, std::size_t index)
    : loop_(&loop),
      acceptor_(&acceptor),
      index_(index),
      retry_(this, [](void* self) { static_cast<Listener*>(self)->set_polling(true); }) {
  poll_.data = this;
}

bool Listener::start(int descriptor) {
  if (::listen(descriptor, kBacklog) != 0 || uv_poll_init(loop_->uv(), &poll_, descriptor) != 0) {
    ::close(descriptor);
    return false;
  }
  descriptor_ = descriptor;
  set_polling(true);
  return true;
}

void Listener::set_polling(bool on) {
  if (closing_) return;
  if (on) {
    uv_poll_start(&poll_, UV_READABLE, &Listener::on_readable);
  } else {
    uv_poll_stop(&poll_);
  }
}

void Listener::on_readable(uv_poll_t* handle, int /*status*/, int /*events*/) {
  auto* self = static_cast<Listener*>(handle->data);
  const Loop::Turn turn(*self->loop_);
  self->accept_some();
}

// The call that finds nobody left is spared where connections come one by one: the next poll tells
// when there is another one.
void Listener::accept_some() {
  for (int count = 0; count < batch_; ++count) {
    if (!accept_one()) {
      batch_ = std::max(count, 1);
      full_batches_ = 0;
      return;
    }
    acceptor_->on_connection(*this);
    if (waiting_ < 0) continue;
    set_polling(false);
    return;
  }
  if (++full_batches_ < kFullBatches) return;
  batch_ = std::min(2 * batch_, kBatchMax);
  full_batches_ = 0;
}

bool Listener::accept_one() {
  if (closing_ || descriptor_ < 0) return false;
  sockaddr_storage storage;
  while (true) {
    socklen_t length = sizeof storage;
    waiting_ = ::accept4(descriptor_, reinterpret_cast<sockaddr*>(&storage), &length,
                         SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (waiting_ >= 0) break;
    if (errno == EINTR || errno == ECONNABORTED) continue;
    if (is_shortage(errno)) {
      set_polling(false);
      loop_->timers().arm(retry_, kRetryMs);
    }
    return false;
  }
  peer_ = Address::from_sockaddr(reinterpret_cast<const sockaddr*>(&storage));
  return true;
}

void Listener::resume() {
  if (waiting_ < 0 || closing_) return;
  acceptor_->on_connection(*this);
  if (waiting_ < 0) set_polling(true);
}

int Listener::take(Address& peer) {
  if (waiting_ < 0 && !accept_one()) return -1;
  peer = peer_;
  return std::exchange(waiting_, -1);
}

void Listener::close() {
  if (closing_) return;
  closing_ = true;
  retry_.disarm();
  if (waiting_ >= 0) ::close(std::exchange(waiting_, -1));
  if (descriptor_ < 0) {
    loop_->defer(*this);
    return;
  }
  uv_close(reinterpret_cast<uv_handle_t*>(&poll_), [](uv_handle_t* handle) {
    auto* self = static_cast<Listener*>(handle->data);
    const Loop::Turn turn(*self->loop_);
    self->acceptor_->on_listener_closed(*self);
  });
  ::close(std::exchange(descriptor_, -1));
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
