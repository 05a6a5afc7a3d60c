#include "tests/support/scripted_member.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <utility>

namespace portunus::test {
namespace {

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

int bound_socket(std::uint16_t& port) {
  const int descriptor = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  ::setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address = loopback(port);
  socklen_t size = sizeof address;
  if (::bind(descriptor, reinterpret_cast<sockaddr*>(&address), size) != 0) std::abort();
  ::getsockname(descriptor, reinterpret_cast<sockaddr*>(&address), &size);
  port = ntohs(address.sin_port);
  return descriptor;
}

}  // namespace

// ---- Connection ----

std::string Connection::read_some() {
  std::array<pollfd, 2> ready{{{descriptor_, POLLIN, 0}, {member_->stop_pipe_[0], POLLIN, 0}}};
  ::poll(ready.data(), ready.size(), -1);
  if (ready[1].revents != 0) return {};
  std::string text(16'384, '\0');
  const ssize_t count = ::recv(descriptor_, text.data(), text.size(), 0);
  text.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
  const std::lock_guard lock(member_->mutex_);
  member_->heard_ += text;
  return text;
}

std::string Connection::read_head() {
  std::string text;
  while (text.find("\r\n\r\n") == std::string::npos) {
    const std::string more = read_some();
    if (more.empty()) return {};
    text += more;
  }
  return text;
}

std::string Connection::read_to_end() {
  std::string text;
  for (std::string more = read_some(); !more.empty(); more = read_some())
    text += more;
  return text;
}

bool Connection::send(std::string_view bytes) {
  while (!bytes.empty()) {
    std::array<pollfd, 2> ready{{{descriptor_, POLLOUT, 0}, {member_->stop_pipe_[0], POLLIN, 0}}};
    ::poll(ready.data(), ready.size(), -1);
    if (ready[1].revents != 0) return false;
    const ssize_t count =
        ::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(count));
  }
  return true;
}

bool Connection::wait(int milliseconds) {
  pollfd ready{member_->stop_pipe_[0], POLLIN, 0};
  return ::poll(&ready, 1, milliseconds) == 0;
}

void Connection::reset() {
  const linger hard{1, 0};
  ::setsockopt(descriptor_, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
}

// ---- ScriptedMember ----

ScriptedMember::ScriptedMember(Script script) : script_(std::move(script)) {
  if (::pipe2(stop_pipe_, O_CLOEXEC) != 0) std::abort();
  reserved_ = bound_socket(port_);
  listen();
}

ScriptedMember::~ScriptedMember() {
  if (::write(stop_pipe_[1], "x", 1) != 1) std::abort();  // never read: every poll sees it
  stop_accepting();
  {
    std::unique_lock lock(mutex_);
    all_closed_.wait(lock, [this] { return open_ == 0; });
  }
  ::close(stop_pipe_[0]);
  ::close(stop_pipe_[1]);
  ::close(reserved_);
}

void ScriptedMember::listen() {
  listening_ = bound_socket(port_);
  if (::listen(listening_, 512) != 0) std::abort();
  acceptor_ = std::thread([this, descriptor = listening_] { accept_loop(descriptor); });
}

void ScriptedMember::stop_accepting() {
  if (listening_ < 0) return;
  ::shutdown(listening_, SHUT_RD);  // wakes accept()
  if (acceptor_.joinable()) acceptor_.join();
  ::close(std::exchange(listening_, -1));
}

void ScriptedMember::refuse() {
  stop_accepting();
}

void ScriptedMember::listen_again() {
  stop_accepting();
  listen();
}

void ScriptedMember::set_script(Script script) {
  const std::lock_guard lock(mutex_);
  script_ = std::move(script);
}

void ScriptedMember::accept_loop(int descriptor) {
  while (true) {
    const int accepted = ::accept4(descriptor, nullptr, nullptr, SOCK_CLOEXEC);
    if (accepted < 0 && (errno == EMFILE || errno == ENFILE)) {
      ::usleep(10'000);
      continue;
    }
    if (accepted < 0) return;
    ++accepted_;
    const std::lock_guard lock(mutex_);
    ++open_;
    std::thread([this, accepted, script = script_] { serve(accepted, script); }).detach();
  }
}

void ScriptedMember::serve(int descriptor, const Script& script) {
  Connection connection(descriptor, *this);
  script(connection);
  ::close(descriptor);
  const std::lock_guard lock(mutex_);
  if (--open_ == 0) all_closed_.notify_all();
}

std::string ScriptedMember::heard() {
  const std::lock_guard lock(mutex_);
  return heard_;
}

void ScriptedMember::forget_heard() {
  const std::lock_guard lock(mutex_);
  heard_.clear();
}

ScriptedMember::Script ScriptedMember::answer(std::string text) {
  return [text = std::move(text)](Connection& connection) {
    if (!connection.read_head().empty()) connection.send(text);
  };
}

// ---- HangingPort ----

HangingPort::HangingPort() {
  listening_ = bound_socket(port_);
  if (::listen(listening_, 0) != 0) std::abort();
  const sockaddr_in address = loopback(port_);
  for (int i = 0; i < 4; ++i) {
    const int filler = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    ::connect(filler, reinterpret_cast<const sockaddr*>(&address), sizeof address);
    fillers_.push_back(filler);
  }
  ::usleep(20'000);  // the kernel moves the first ones into the queue
}

HangingPort::~HangingPort() {
  for (const int filler : fillers_)
    ::close(filler);
  ::close(listening_);
}

}  // namespace portunus::test
