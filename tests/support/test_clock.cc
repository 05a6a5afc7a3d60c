#include "tests/support/test_clock.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <ctime>

namespace {

// More than a driver ever waits between two looks at the clock; what is longer is the machine's.
constexpr std::int64_t kStepMaxNs = 40'000'000;

std::atomic<std::int64_t> lost_ns = 0;
thread_local int t_drivers = 0;
thread_local std::int64_t t_seen_ns = 0;

std::int64_t real_ns() {
  timespec now{};
  ::syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
  return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

std::int64_t test_ns() {
  const std::int64_t now_ns = real_ns();
  if (t_drivers > 0) {
    if (now_ns - t_seen_ns > kStepMaxNs) lost_ns += now_ns - t_seen_ns - kStepMaxNs;
    t_seen_ns = now_ns;
  }
  return now_ns - lost_ns;
}

}  // namespace

extern "C" [[gnu::used]] void portunus_test_clock_drive(bool begins) {
  if (begins && t_drivers++ == 0) t_seen_ns = real_ns();
  if (!begins && --t_drivers == 0) lost_ns = 0;  // forward, to the time of all others
}

// Instead of glibc's, for libuv and us; what sanitizers need is no more than this.
extern "C" [[gnu::used]] int clock_gettime(clockid_t which, timespec* now) noexcept {
  if (which != CLOCK_MONOTONIC && which != CLOCK_MONOTONIC_COARSE)
    return static_cast<int>(::syscall(SYS_clock_gettime, which, now));
  const std::int64_t ns = test_ns();
  now->tv_sec = static_cast<time_t>(ns / 1'000'000'000);
  now->tv_nsec = static_cast<long>(ns % 1'000'000'000);
  return 0;
}
