// Starting one child process: its own process group, only the descriptors that it is given, default
// signal actions and an empty signal mask. fork() and execve(), because none of the ready-made ways
// sets limits, group, identity and death signal together. Supervisor's thread; the supervisor has no
// other threads while it forks.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <vector>

#include "supervisor/whole_cpus.h"

namespace portunus::supervisor {

// A user as the system knows it.
struct Identity {
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;
  std::string name;
  std::string home;
};
// By name or number. The error is one line.
[[nodiscard]] std::expected<Identity, std::string> find_identity(const std::string& user);

struct Launch {
  std::vector<std::string> command;  // the program first; looked for in PATH when it has no slash
  std::vector<std::string> environment;   // all of it, NAME=value
  std::string working_directory;          // empty = ours
  std::optional<Identity> identity;       // changed to, with no capability left; none = as we are
  std::vector<int> descriptors;           // of ours; become 3, 4, ... there
  int output = -1;                        // becomes standard output and error; -1 = ours
  std::string cgroup;                     // folder of a cgroup (v2) to be put into; empty = ours
  Cpus cpus;                              // kept to these, with all that it starts; empty = as ours
  std::uint64_t address_space_bytes = 0;  // RLIMIT_AS; 0 = as ours
  std::uint64_t descriptors_max = 0;      // RLIMIT_NOFILE; 0 = as ours
  int death_signal = 0;                   // when the supervisor dies; 0 = none
  bool may_dump_core = false;
  bool no_new_privileges = true;
};

// The child's id; it leads a process group of that number. Standard input is /dev/null. The error
// names the step that failed ("execve: No such file or directory"); then there is no child. The
// caller has Reaper watch the child before it returns to the loop.
[[nodiscard]] std::expected<pid_t, std::string> spawn(const Launch& launch);

// To all of its process group; false when nobody is left in it.
bool signal_group(pid_t leader, int number);
// Whether a child of ours, alive or not waited for yet, is in that process group: then it is still the
// one that the leader began, and no stranger's of the same number.
[[nodiscard]] bool has_child_in_group(pid_t leader);

}  // namespace portunus::supervisor
