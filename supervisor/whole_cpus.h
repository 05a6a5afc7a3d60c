// Which CPUs a replica is kept to where no cgroup limits its share of CPU: no rlimit bounds a share,
// but a process can be kept to some CPUs, with all that it starts. As many whole ones as its limit
// comes to, rounded up, and those that the fewest other replicas are kept to, of whichever service.
// A value in Surroundings. Supervisor's thread.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace portunus::supervisor {

using Cpus = std::vector<std::uint32_t>;  // their numbers, ascending

// Those that a process may use; 0 = this one. Empty when that cannot be told.
[[nodiscard]] Cpus cpus_of(pid_t pid);
// What a limit comes to. 0 = no bound: there is no limit, or there are no more CPUs than that.
[[nodiscard]] std::size_t whole_cpus(std::uint32_t percent, std::size_t available);

class CpuHolders {
 public:
  // Of those that as few hold, the first ones: so replicas that start one after the other get one CPU
  // after the other, and one that starts again goes where there is room now.
  [[nodiscard]] Cpus take(std::size_t count, const Cpus& available);
  void hold(const Cpus& cpus);
  void give_back(const Cpus& cpus);

 private:
  std::vector<std::uint32_t> counts_;  // of holders, by the CPU's number
};

}  // namespace portunus::supervisor
