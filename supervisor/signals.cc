#include "supervisor/signals.h"

#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <span>

namespace portunus::supervisor {
namespace {

constexpr std::array<int, 3> kStopping{SIGTERM, SIGINT, SIGQUIT};
constexpr std::array<int, 7> kNumbers{SIGCHLD, SIGHUP, SIGUSR1, SIGUSR2, SIGTERM, SIGINT, SIGQUIT};

sigset_t set_of(std::span<const int> numbers) {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : numbers)
    sigaddset(&set, number);
  return set;
}

}  // namespace

void hold_signals() {
  const sigset_t set = set_of(kNumbers);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

void release_stop_signals() {
  const sigset_t set = set_of(kStopping);
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

Signals::Signals(uv_loop_t& loop, SignalHandler& handler) : handler_(handler) {
  const sigset_t set = set_of(kNumbers);
  descriptor_ = ::signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
  if (descriptor_ < 0) return;
  uv_poll_init(&loop, &poll_, descriptor_);
  poll_.data = this;
  uv_poll_start(&poll_, UV_READABLE, [](uv_poll_t* poll, int /*status*/, int /*events*/) {
    static_cast<Signals*>(poll->data)->read_all();
  });
}

void Signals::read_all() {
  signalfd_siginfo info{};
  while (descriptor_ >= 0 && ::read(descriptor_, &info, sizeof info) == sizeof info)
    handler_.on_signal(static_cast<int>(info.ssi_signo));
}

void Signals::stop() {
  if (descriptor_ < 0) return;
  uv_close(reinterpret_cast<uv_handle_t*>(&poll_), nullptr);
  ::close(descriptor_);
  descriptor_ = -1;
}

}  // namespace portunus::supervisor
