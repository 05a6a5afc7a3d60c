#include "supervisor/whole_cpus.h"

#include <sched.h>

#include <algorithm>

namespace portunus::supervisor {

Cpus cpus_of(pid_t pid) {
  cpu_set_t set;
  CPU_ZERO(&set);
  Cpus cpus;
  if (::sched_getaffinity(pid, sizeof set, &set) != 0) return cpus;
  for (std::uint32_t cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
  }
  return cpus;
}

std::size_t whole_cpus(std::uint32_t percent, std::size_t available) {
  const std::size_t count = (std::size_t{percent} + 99) / 100;
  return count < available ? count : 0;
}

Cpus CpuHolders::take(std::size_t count, const Cpus& available) {
  if (!available.empty() && available.back() >= counts_.size())
    counts_.resize(available.back() + 1);
  Cpus taken = available;
  std::ranges::stable_sort(taken, {}, [this](std::uint32_t cpu) { return counts_[cpu]; });
  taken.resize(std::min(count, taken.size()));
  std::ranges::sort(taken);
  hold(taken);
  return taken;
}

void CpuHolders::hold(const Cpus& cpus) {
  for (const std::uint32_t cpu : cpus) {
    if (cpu >= counts_.size()) counts_.resize(cpu + 1);
    ++counts_[cpu];
  }
}

void CpuHolders::give_back(const Cpus& cpus) {
  for (const std::uint32_t cpu : cpus)
    --counts_[cpu];
}

}  // namespace portunus::supervisor
