#include "supervisor/replica_process.h"

#include <unistd.h>

#include <csignal>
#include <utility>

#include "base/log.h"
#include "supervisor/cgroup.h"
#include "supervisor/reaper.h"
#include "supervisor/replica_launch.h"

namespace portunus::supervisor {
namespace {

constexpr std::string_view kEnterCgroup = "enter cgroup";  // as spawn() names the step

std::uint64_t oom_kills_in(const std::string& cgroup) {
  const auto usage = cgroup.empty() ? std::nullopt : cgroup_usage(cgroup);
  return usage ? usage->oom_kills : 0;
}

}  // namespace

ReplicaProcess::ReplicaProcess(Surroundings& surroundings, ReplicaRecord& record)
    : surroundings_(surroundings), record_(record) {
  if (record_.pid != 0 && record_.definition.limits.cpu_percent != 0) {
    cpus_ = cpus_of(record_.pid);  // in a cgroup it has all of them, which prefers none
    surroundings_.cpu_holders.hold(cpus_);
  }
  if (record_.output < 0 || surroundings_.lines == nullptr) return;
  if (auto taken = make_capture().adopt(record_.output); !taken) {
    warn("its output is lost: " + taken.error());
    record_.output = -1;
  }
}

ReplicaProcess::~ReplicaProcess() {
  give_back_cpus();
}

OutputCapture& ReplicaProcess::make_capture() {
  const conf::Service& service = record_.definition;
  return capture_.emplace(surroundings_.loop,
                          CaptureSettings{.service = service.name,
                                          .replica = record_.number,
                                          .folder = surroundings_.logs_folder,
                                          .max_bytes = service.log.max_bytes,
                                          .keep = service.log.keep},
                          *surroundings_.lines);
}

void ReplicaProcess::take_settings() {
  if (capture_) capture_->set_limits(record_.definition.log.max_bytes, record_.definition.log.keep);
}

// A replica without its output is better than none.
int ReplicaProcess::open_output() {
  record_.output = -1;
  if (surroundings_.lines == nullptr) return -1;
  OutputCapture& capture = capture_ ? *capture_ : make_capture();
  const auto end = capture.open();
  if (!end) {
    warn("its output is not kept: " + end.error());
    return -1;
  }
  record_.output = capture.descriptor();
  return *end;
}

void ReplicaProcess::enter_cgroup(Launch& launch) {
  record_.cgroup.clear();
  if (surroundings_.cgroups == nullptr) return;
  const conf::Service& service = record_.definition;
  const std::string name = service.name + '-' + std::to_string(record_.number);
  const auto folder = surroundings_.cgroups->add(
      name, CgroupLimits{service.limits.memory_bytes, service.limits.cpu_percent});
  if (!folder) {
    warn("no cgroup: " + folder.error());
    return;
  }
  record_.cgroup = *folder;
  record_.oom_kills = oom_kills_in(*folder);  // an old group, if it could not be removed
  launch.cgroup = *folder;
  if (surroundings_.cgroups->has_memory()) launch.address_space_bytes = 0;
}

void ReplicaProcess::leave_cgroup(Launch& launch) {
  if (record_.cgroup.empty()) return;
  remove_cgroup(record_.cgroup);
  record_.cgroup.clear();
  launch.cgroup.clear();
  launch.address_space_bytes = record_.definition.limits.memory_bytes;
}

void ReplicaProcess::keep_to_cpus(Launch& launch) {
  give_back_cpus();
  if (!record_.cgroup.empty() && surroundings_.cgroups->has_cpu()) return;
  const Cpus available = cpus_of(0);
  const std::size_t count = whole_cpus(record_.definition.limits.cpu_percent, available.size());
  cpus_ = surroundings_.cpu_holders.take(count, available);
  launch.cpus = cpus_;
}

void ReplicaProcess::give_back_cpus() {
  surroundings_.cpu_holders.give_back(cpus_);
  cpus_.clear();
}

void ReplicaProcess::warn(const std::string& what) const {
  base::log(base::LogLevel::warn, "supervisor", "service {} replica {}: {}",
            record_.definition.name, record_.number, what);
}

std::expected<Launch, std::string> ReplicaProcess::make_launch() {
  auto launch = launch_of(record_.definition, record_.number, record_.port);
  if (!launch) return launch;
  enter_cgroup(*launch);
  keep_to_cpus(*launch);
  return launch;
}

std::expected<pid_t, std::string> ReplicaProcess::start() {
  record_.is_out_of_memory = false;
  auto launch = make_launch();
  if (!launch) return std::unexpected(std::move(launch).error());
  launch->output = open_output();
  auto pid = spawn(*launch);
  if (!pid && !record_.cgroup.empty() && pid.error().starts_with(kEnterCgroup)) {
    warn("not in a cgroup: " + pid.error());
    leave_cgroup(*launch);
    keep_to_cpus(*launch);
    pid = spawn(*launch);
  }
  if (launch->output >= 0) ::close(launch->output);
  if (pid) return pid;
  finish();
  leave_cgroup(*launch);
  return pid;
}

void ReplicaProcess::finish() {
  give_back_cpus();
  if (capture_) capture_->finish();
  record_.output = -1;
}

// An rlimit kills nobody: who gets no more memory ends itself, in a way of its own.
bool ReplicaProcess::was_out_of_memory(Exit exit) const {
  const std::uint64_t limit = record_.definition.limits.memory_bytes;
  const bool has_cgroup = !record_.cgroup.empty() && surroundings_.cgroups != nullptr &&
                          surroundings_.cgroups->has_memory();
  if (has_cgroup) return oom_kills_in(record_.cgroup) > record_.oom_kills;
  return limit != 0 && !exit.is_clean() && exit.peak_bytes >= limit - limit / 8;
}

bool ReplicaProcess::is_group_ours() const {
  return !surroundings_.reaper.is_watched(record_.group) && has_child_in_group(record_.group);
}

bool ReplicaProcess::kill_rest(bool is_late) {
  if (is_late && !is_group_ours()) record_.group = 0;
  const bool is_group_left = record_.group != 0 && signal_group(record_.group, SIGKILL);
  if (record_.cgroup.empty()) return is_group_left;
  kill_cgroup(record_.cgroup);
  if (!remove_cgroup(record_.cgroup)) return true;  // somebody is in it
  record_.cgroup.clear();
  return is_group_left;
}

std::optional<Usage> usage_of(const ReplicaRecord& record) {
  if (record.pid == 0) return std::nullopt;
  auto usage = process_usage(record.pid);
  if (record.cgroup.empty()) return usage;
  const auto counted = cgroup_usage(record.cgroup);
  if (!counted) return usage;
  // The CPU is always counted; memory only with its controller.
  if (counted->memory_bytes == 0 && usage)
    return Usage{usage->memory_bytes, counted->cpu_us, counted->oom_kills};
  return counted;
}

}  // namespace portunus::supervisor
