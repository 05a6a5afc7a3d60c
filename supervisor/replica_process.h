// The process of a replica with what belongs to it: the pipe of its output, its cgroup or its limit
// of memory and its CPUs, its process group. Owned by its Replica, whose record it reads and writes;
// the Replica decides when. Supervisor's thread.
#pragma once

#include <sys/types.h>

#include <expected>
#include <optional>
#include <string>

#include "supervisor/output_capture.h"
#include "supervisor/process.h"
#include "supervisor/process_usage.h"
#include "supervisor/replica_record.h"
#include "supervisor/surroundings.h"

namespace portunus::supervisor {

class ReplicaProcess {
 public:
  // With a record of a former supervisor the pipe of the output is taken over.
  ReplicaProcess(Surroundings& surroundings, ReplicaRecord& record);
  ~ReplicaProcess();
  ReplicaProcess(const ReplicaProcess&) = delete;
  ReplicaProcess& operator=(const ReplicaProcess&) = delete;

  // The record's definition and port; the process id is the caller's to keep. The error is one line.
  [[nodiscard]] std::expected<pid_t, std::string> start();
  // It has ended: what it has written so far is passed on, nothing more is read, and its CPUs are
  // others'.
  void finish();
  // When it has ended, with record.group: SIGKILL to what is left of it, wherever it has fled.
  // False when nothing is; then the cgroup is gone, too. At once, nobody else can have got the
  // group's number; `is_late`, a group is ours only while a child of ours is in it. As the members'
  // parents die, the supervisor becomes their parent.
  bool kill_rest(bool is_late);
  // When it has ended, before kill_rest(): whether the kernel has killed in its cgroup; or, where the
  // limit is an rlimit, whether it has failed with hardly any of that left.
  [[nodiscard]] bool was_out_of_memory(Exit exit) const;
  // The record's definition has changed.
  void take_settings();

 private:
  [[nodiscard]] bool is_group_ours() const;
  OutputCapture& make_capture();
  [[nodiscard]] std::expected<Launch, std::string> make_launch();
  void enter_cgroup(Launch& launch);
  void leave_cgroup(Launch& launch);
  void keep_to_cpus(Launch& launch);
  void give_back_cpus();
  [[nodiscard]] int open_output();
  void warn(const std::string& what) const;

  Surroundings& surroundings_;
  ReplicaRecord& record_;
  Cpus cpus_;                             // that it is kept to; empty = all
  std::optional<OutputCapture> capture_;  // made by the first start
};

// Of its cgroup when that counts, else of its first process only. None when there is no process.
[[nodiscard]] std::optional<Usage> usage_of(const ReplicaRecord& record);

}  // namespace portunus::supervisor
