#include "proxy/process.h"

#include <dirent.h>
#include <sched.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <memory>

namespace portunus::proxy {
namespace {

// "200000 100000" in cgroup v2: microseconds of CPU per period; "max" without a limit. 0 = none.
std::uint32_t cgroup_cpus() {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(
      std::fopen("/sys/fs/cgroup/cpu.max", "re"), &std::fclose);
  if (!file) return 0;
  long quota = 0;
  long period = 0;
  if (std::fscanf(file.get(), "%ld %ld", &quota, &period) != 2 || quota <= 0 || period <= 0) {
    return 0;
  }
  return static_cast<std::uint32_t>((quota + period - 1) / period);
}

}  // namespace

std::uint32_t usable_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::uint32_t count = 1;
  if (::sched_getaffinity(0, sizeof set, &set) == 0) {
    count = static_cast<std::uint32_t>(std::max(1, CPU_COUNT(&set)));
  }
  const std::uint32_t quota = cgroup_cpus();
  return quota > 0 ? std::min(count, quota) : count;
}

std::size_t raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;
  if (limit.rlim_cur < limit.rlim_max) {
    rlimit raised = limit;
    raised.rlim_cur = limit.rlim_max;
    if (::setrlimit(RLIMIT_NOFILE, &raised) == 0) limit = raised;
  }
  constexpr rlim_t kMost = 10'000'000;  // RLIM_INFINITY
  return static_cast<std::size_t>(std::min(limit.rlim_cur, kMost));
}

std::size_t open_descriptors() {
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir("/proc/self/fd"), &::closedir);
  if (!folder) return 64;  // a container without /proc: a guess on the safe side
  std::size_t count = 0;
  while (::readdir(folder.get()) != nullptr)  // NOLINT: a stream of our own
    ++count;
  return count;
}

}  // namespace portunus::proxy
