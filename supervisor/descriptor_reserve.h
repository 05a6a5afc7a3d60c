// What the output of services leaves of the process's descriptors, so that a proxy can be started, told
// of, and hand over what it knows, however many replicas there are. Any thread.
#pragma once

#include <sys/resource.h>

#include <algorithm>

namespace portunus::supervisor {

inline constexpr rlim_t kDescriptorReserve = 64;  // or half of all, when they are few

// Of one that has just been opened: numbers are given from below.
[[nodiscard]] inline bool leaves_reserve(int descriptor) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return true;
  const rlim_t reserve = std::min(kDescriptorReserve, limit.rlim_cur / 2);
  return static_cast<rlim_t>(descriptor) < limit.rlim_cur - reserve;
}

}  // namespace portunus::supervisor
