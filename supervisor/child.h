// What a new process does between fork() and execve(): only calls that are async-signal-safe, on
// memory that was made ready before. Used by spawn() alone; never returns to its caller.
#pragma once

#include <sched.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>

namespace portunus::supervisor {

// In the order in which they are made; the one that failed goes to the parent.
enum class ChildStep : std::uint8_t {
  process_group,
  null_device,
  descriptors,
  cgroup,
  cpus,
  descriptor_limit,
  core_limit,
  groups,
  group,
  user,
  identity,
  capabilities,
  privileges,
  death_signal,
  working_directory,
  address_space_limit,
  execute,
};

// One write to the report's pipe; execve() closes it without one.
struct ChildFailure {
  ChildStep step = ChildStep::execute;
  std::int32_t error = 0;  // errno
};

// Points into the parent's objects. A null pointer, -1 or 0 = that step is not wanted.
struct ChildPlan {
  const char* program = nullptr;  // with a slash
  char* const* arguments = nullptr;
  char* const* environment = nullptr;
  char* own_pid = nullptr;  // digits of the new process go here: the tail of "LISTEN_PID="
  const char* working_directory = nullptr;
  const char* cgroup_file = nullptr;  // its cgroup.procs
  const cpu_set_t* cpus = nullptr;    // the only ones that it may run on
  const int* descriptors = nullptr;   // become 3, 4, ...
  int* moved = nullptr;               // as many, for the child's use
  std::size_t descriptor_count = 0;
  int output = -1;
  int report = -1;  // the pipe's writing end
  bool has_identity = false;
  uid_t uid = 0;
  gid_t gid = 0;
  const gid_t* groups = nullptr;
  std::size_t group_count = 0;
  std::uint64_t address_space_bytes = 0;
  std::uint64_t descriptors_max = 0;
  int death_signal = 0;
  pid_t parent = 0;
  bool may_dump_core = false;
  bool no_new_privileges = true;
};

inline constexpr std::size_t kPidDigits = 20;  // that own_pid has room for, its NUL included

[[noreturn]] void run_child(const ChildPlan& plan);

}  // namespace portunus::supervisor
