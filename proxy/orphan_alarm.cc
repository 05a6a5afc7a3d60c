#include "proxy/orphan_alarm.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>

namespace portunus::proxy {
namespace {

constexpr unsigned kSpareSeconds = 10;
constexpr std::uint64_t kSecondsMax = std::uint64_t{7} * 24 * 3'600;

std::atomic<unsigned> patience_seconds{kSpareSeconds};
std::atomic<bool> has_begun{false};  // the kernel tells it for each thread of the supervisor's
static_assert(std::atomic<unsigned>::is_always_lock_free);

// Only calls that are async-signal-safe.
extern "C" void on_supervisor_death(int /*number*/) {
  if (!has_begun.exchange(true, std::memory_order_relaxed))
    ::alarm(patience_seconds.load(std::memory_order_relaxed));
}

}  // namespace

void install_orphan_alarm() {
  struct sigaction action{};
  action.sa_handler = on_supervisor_death;
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGVTALRM, &action, nullptr);
}

void set_orphan_patience(std::uint64_t milliseconds) {
  const std::uint64_t seconds = milliseconds / 1'000;
  patience_seconds = kSpareSeconds + static_cast<unsigned>(std::min(seconds, kSecondsMax));
}

}  // namespace portunus::proxy
