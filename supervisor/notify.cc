#include "supervisor/notify.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>

#include "base/clock.h"
#include "supervisor/variables.h"

namespace portunus::supervisor {
namespace {

constexpr timeval kPatience{1, 0};
constexpr std::size_t kStatusMax = 512;

}  // namespace

Notifier::Notifier() : address_(take_variable("NOTIFY_SOCKET")) {
  const std::uint64_t watchdog_us = number_of(take_variable("WATCHDOG_USEC"));
  const std::string watchdog_pid = take_variable("WATCHDOG_PID");
  const bool is_known_form = address_.starts_with('/') || address_.starts_with('@');
  if (!is_known_form || address_.size() >= sizeof(sockaddr_un::sun_path)) return;
  if (address_.front() == '@') address_.front() = '\0';
  socket_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (socket_ < 0) return;
  ::setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &kPatience, sizeof kPatience);
  const bool is_ours =
      watchdog_pid.empty() || number_of(watchdog_pid) == static_cast<std::uint64_t>(::getpid());
  if (is_ours) alive_every_ms_ = watchdog_us / 2000;
}

Notifier::~Notifier() {
  if (socket_ >= 0) ::close(socket_);
}

void Notifier::give_back() const {
  if (socket_ < 0) return;
  std::string address = address_;
  if (address.front() == '\0') address.front() = '@';
  ::setenv("NOTIFY_SOCKET", address.c_str(), 1);  // NOLINT(concurrency-mt-unsafe): one thread
  if (alive_every_ms_ == 0) return;
  const std::string watchdog_us = std::to_string(alive_every_ms_ * 2000);
  ::setenv("WATCHDOG_USEC", watchdog_us.c_str(), 1);  // NOLINT(concurrency-mt-unsafe)
}

void Notifier::take_back() {
  ::unsetenv("NOTIFY_SOCKET");  // NOLINT(concurrency-mt-unsafe)
  ::unsetenv("WATCHDOG_USEC");  // NOLINT(concurrency-mt-unsafe)
}

void Notifier::ready(std::string_view status) {
  // The text is a proxy's: a line of its own would be one of ours to the service manager.
  std::string line(status.substr(0, kStatusMax));
  std::ranges::replace_if(line, [](char c) { return static_cast<unsigned char>(c) < ' '; }, ' ');
  send("READY=1\nSTATUS=" + line + '\n');
}

void Notifier::reloading() {
  send("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(base::monotonic_ns() / 1000) + '\n');
}

void Notifier::stopping() {
  send("STOPPING=1\n");
}

void Notifier::alive() {
  send("WATCHDOG=1\n");
}

void Notifier::send(std::string_view message) const {
  if (socket_ < 0) return;
  sockaddr_un where{};
  where.sun_family = AF_UNIX;
  std::memcpy(where.sun_path, address_.data(), address_.size());
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address_.size() +
                                             (address_.front() == '\0' ? 0 : 1));
  static_cast<void>(::sendto(socket_, message.data(), message.size(), MSG_NOSIGNAL,
                             reinterpret_cast<const sockaddr*>(&where), length));
}

}  // namespace portunus::supervisor
