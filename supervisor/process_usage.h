// What a process uses, out of /proc: for services that have no cgroup. Of that one process; what it
// has forked is not in it. Supervisor's thread.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string_view>

namespace portunus::supervisor {

struct Usage {
  std::uint64_t memory_bytes = 0;
  std::uint64_t cpu_us = 0;     // since the start, user and system
  std::uint64_t oom_kills = 0;  // of a cgroup only
};

// None when there is no such process.
[[nodiscard]] std::optional<Usage> process_usage(pid_t pid);

// The texts of /proc/PID/stat and statm; pure.
[[nodiscard]] std::optional<Usage> parse_usage(std::string_view stat,
                                               std::string_view statm,
                                               std::uint64_t ticks_per_second,
                                               std::uint64_t page_bytes);

}  // namespace portunus::supervisor
