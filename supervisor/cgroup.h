// A cgroup (v2) for each replica, where the one we were started in is ours to divide: systemd's
// Delegate=yes, or a container that mounts its own writable. It bounds memory and CPU, ends all
// processes of a replica wherever they have fled, and counts what they use. Elsewhere
// is_available() is false and the caller is content with rlimits. Supervisor's thread.
//
//   ROOT/                        where we were started; controllers are handed down from here
//   ROOT/portunus-supervisor/    we (and the proxy): a group with children must not have processes
//   ROOT/portunus-web-0/         replica 0 of service web
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

#include "supervisor/process_usage.h"

namespace portunus::supervisor {

// The folder of our own cgroup, from the texts of /proc/self/mountinfo and /proc/self/cgroup; empty
// when there is no v2 or the group is not within the mount. Pure.
[[nodiscard]] std::string find_own_cgroup(std::string_view mounts, std::string_view groups);
[[nodiscard]] std::string find_own_cgroup();
// Whether systemd has marked it as its service's to divide (Delegate=yes), or it is the leaf of a
// CgroupTree already.
[[nodiscard]] bool is_delegated_cgroup(const std::string& folder);

struct CgroupLimits {
  std::uint64_t memory_bytes = 0;  // 0 = no limit
  std::uint32_t cpu_percent = 0;   // of one CPU; 0 = no limit
};

class CgroupTree {
 public:
  // Moves us into the leaf. `own` is the result of find_own_cgroup(); may be the leaf already, after
  // an upgrade in place. Before there are children.
  explicit CgroupTree(const std::string& own);

  [[nodiscard]] bool is_available() const { return is_available_; }
  // Limits and counts of these; without them a group still serves kill().
  [[nodiscard]] bool has_memory() const { return has_memory_; }
  [[nodiscard]] bool has_cpu() const { return has_cpu_; }
  // Why it is not available, one line.
  [[nodiscard]] const std::string& problem() const { return problem_; }

  // The group's folder, for Launch::cgroup. Made, or taken as it is (with the processes in it), and
  // limited. A limit whose controller is missing is not set. The error is one line.
  [[nodiscard]] std::expected<std::string, std::string> add(const std::string& name,
                                                            const CgroupLimits& limits) const;

 private:
  bool enter_leaf();
  void hand_down(std::string_view controllers);
  void give_up(const std::string& step);

  std::string root_;
  std::string problem_;
  bool is_available_ = false;
  bool has_memory_ = false;
  bool has_cpu_ = false;
};

// SIGKILL to everything in it. False when nothing could be killed.
bool kill_cgroup(const std::string& folder);
// None when the group is gone. What has no controller is 0.
[[nodiscard]] std::optional<Usage> cgroup_usage(const std::string& folder);
// False while processes are in it (those that nobody has reaped, too): to be tried again.
bool remove_cgroup(const std::string& folder);

}  // namespace portunus::supervisor
