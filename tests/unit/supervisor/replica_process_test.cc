// What a replica's process is run in, seen from its service: output, cgroup (on a plain folder: what
// the kernel makes of it is in cgroup_test.cc), limits.
#include "supervisor/replica_process.h"

#include <unistd.h>

#include <optional>

#include "supervisor/cgroup.h"
#include "tests/unit/supervisor/service_fixture.h"

namespace portunus::test {
namespace {

using State = ReplicaState;

class Lines final : public supervisor::LineHandler {
 public:
  void on_line(const std::string& service, std::uint32_t replica, std::string_view line) override {
    all += service + '/' + std::to_string(replica) + ": " + std::string(line) + '\n';
  }
  [[nodiscard]] bool has(std::string_view line) const {
    return all.find(line) != std::string::npos;
  }
  std::string all;
};

class ReplicaProcesses : public ServiceFixture {
 protected:
  ReplicaProcesses() { surroundings_.lines = &lines_; }
  void TearDown() override {
    if (service_ == nullptr) return;
    service_->kill_all();  // before our members are gone
    until([&] {
      remove_plain_cgroup();
      return !service_->has_process();
    });
    service_.reset();
  }

  void put(const std::string& name, const std::string& text) const {
    std::filesystem::create_directories((folder_ / name).parent_path());
    std::ofstream(folder_ / name) << text;
  }
  // A group that has no files of its own is all that rmdir() takes away.
  void remove_plain_cgroup() const {
    if (service_->replicas().empty() || replica().pid != 0 || replica().cgroup.empty()) return;
    std::filesystem::remove_all(replica().cgroup);
  }
  void use_plain_tree(const std::string& controllers) {
    put("tree/cgroup.events", "populated 1\n");
    put("tree/cgroup.controllers", controllers);
    put("tree/cgroup.subtree_control", "");
    tree_.emplace(folder_ / "tree");
    surroundings_.cgroups = &*tree_;
  }
  [[nodiscard]] static std::size_t open_descriptors() {
    const std::filesystem::directory_iterator all("/proc/self/fd");
    return static_cast<std::size_t>(std::distance(all, {}));
  }

  Lines lines_;
  std::optional<supervisor::CgroupTree> tree_;  // is asked until the last process has ended
};

TEST_F(ReplicaProcesses, WithoutACgroupWhoHasUsedUpItsLimitIsOutOfMemory) {
  conf::Service service = scripted("");
  service.limits.memory_bytes = std::uint64_t{64} * 1024 * 1024;
  service.command = {"/usr/bin/python3", "-Ic", R"(
held = []
while True: held.append(b"x" * (1 << 20))
)"};
  begin(service);
  until([&] { return restarts(RestartReason::oom) > 0; });
  EXPECT_EQ(restarts(RestartReason::crashed), 0U);
}

TEST_F(ReplicaProcesses, WithoutACgroupWhoHasRoomLeftHasCrashed) {
  conf::Service service = scripted("exit 1");
  service.limits.memory_bytes = std::uint64_t{256} * 1024 * 1024;
  begin(service);
  until([&] { return restarts(RestartReason::crashed) > 0; });
  EXPECT_EQ(restarts(RestartReason::oom), 0U);
}

TEST_F(ReplicaProcesses, LinesOfAllItsProcessesGoToTheHandlerAndToOneFile) {
  surroundings_.logs_folder = folder_;
  const std::size_t before = open_descriptors();
  begin(scripted("echo first words; printf 'last words' >&2; exit 1"));
  until([&] { return restarts(RestartReason::crashed) >= 3; });
  EXPECT_TRUE(lines_.all.starts_with("web/0: first words\nweb/0: last words\nweb/0: first words\n"))
      << lines_.all;
  EXPECT_GE(lines_of("web-0.log"), 6U);
  service_->stop();
  until([&] { return !service_->has_process(); });
  EXPECT_EQ(replica().output, -1);
  EXPECT_LE(open_descriptors(), before + 1) << "its file may be open";
}

TEST_F(ReplicaProcesses, WhatItsChildrenWriteAtTheEndIsReadToo) {
  conf::Service service =
      scripted("sh -c 'sleep 0.05; echo child' & echo parent; wait; exec sleep 300");
  begin(service);
  until([&] { return lines_.has("web/0: child\n"); });
  EXPECT_TRUE(lines_.has("web/0: parent\n"));
}

TEST_F(ReplicaProcesses, OutputGoesOnWithTheNextSupervisor) {
  begin(scripted(
      "echo begin; while [ ! -e $FOLDER/go ]; do sleep 0.01; done; echo more; exec sleep 300"));
  until([&] { return lines_.has("begin"); });
  supervisor::SavedService saved = service_->save();
  const pid_t pid = saved.replicas.at(0).pid;
  ASSERT_GE(saved.replicas.at(0).output, 0);
  saved.replicas.at(0).output = ::dup(saved.replicas.at(0).output);  // as it survives an exec
  service_.reset();
  service_ = std::make_unique<Service>(surroundings_, static_cast<supervisor::ServiceHost&>(*this),
                                       std::move(saved));
  put("go", "");
  until([&] { return lines_.has("web/0: more\n"); });
  EXPECT_EQ(replica().pid, pid);
}

TEST_F(ReplicaProcesses, WithoutACgroupItsMemoryIsLimitedByItsAddressSpace) {
  conf::Service service = scripted("echo limit $(ulimit -v); exec sleep 300");
  service.limits.memory_bytes = std::uint64_t{256} << 20U;
  begin(service);
  until([&] { return lines_.has("web/0: limit 262144\n"); });
  EXPECT_EQ(replica().cgroup, "");
}

TEST_F(ReplicaProcesses, InACgroupThatLimitsMemoryItsAddressSpaceIsFree) {
  use_plain_tree("memory cpu");
  put("tree/portunus-web-0/cgroup.procs", "");
  conf::Service service = scripted("echo limit $(ulimit -v); exec sleep 300");
  service.limits = {std::uint64_t{256} << 20U, 50};
  begin(service);
  until([&] { return lines_.has("web/0: limit unlimited\n"); });
  EXPECT_EQ(replica().cgroup, folder_ / "tree/portunus-web-0");
  EXPECT_EQ(text_of("tree/portunus-web-0/memory.max"), "268435456");
  EXPECT_NE(text_of("tree/portunus-web-0/cgroup.procs"), "");
}

TEST_F(ReplicaProcesses, ACgroupThatCannotBeEnteredIsDoneWithout) {
  use_plain_tree("memory cpu");
  conf::Service service = scripted("echo limit $(ulimit -v); exec sleep 300");
  service.limits.memory_bytes = std::uint64_t{256} << 20U;
  begin(service);  // a plain folder has no cgroup.procs
  until([&] { return lines_.has("web/0: limit 262144\n"); });
  EXPECT_EQ(replica().cgroup, "");
  EXPECT_EQ(restarts(RestartReason::start_failed), 0U);
}

class ReplicaCpus : public ReplicaProcesses {
 protected:
  void SetUp() override {
    if (all_.size() < 2) GTEST_SKIP() << "with one CPU there is nothing to choose";
  }
  [[nodiscard]] supervisor::Cpus cpus(std::size_t place) const {
    return supervisor::cpus_of(replica(place).pid);
  }
  const supervisor::Cpus all_ = supervisor::cpus_of(0);
};

TEST_F(ReplicaCpus, WithoutACgroupItsShareIsRoundedUpToWholeOnes) {
  conf::Service service = scripted("echo has $(nproc); exec sleep 300");
  service.limits.cpu_percent = 50;
  begin(service);
  until([&] { return lines_.has("web/0: has 1\n"); });
}

TEST_F(ReplicaCpus, AShareThatComesToAllOfThemBindsNothing) {
  conf::Service service = scripted("echo has $(nproc); exec sleep 300");
  service.limits.cpu_percent = static_cast<std::uint32_t>(all_.size() * 100 - 99);
  begin(service);
  until([&] { return lines_.has("web/0: has " + std::to_string(all_.size()) + "\n"); });
}

TEST_F(ReplicaCpus, InACgroupThatLimitsCpuAllAreUsed) {
  use_plain_tree("memory cpu");
  put("tree/portunus-web-0/cgroup.procs", "");
  conf::Service service = scripted("echo has $(nproc); exec sleep 300");
  service.limits.cpu_percent = 50;
  begin(service);
  until([&] { return lines_.has("web/0: has " + std::to_string(all_.size()) + "\n"); });
}

TEST_F(ReplicaCpus, ACgroupThatDoesNotLimitCpuOrCannotBeEnteredIsNoReason) {
  use_plain_tree("memory");
  conf::Service service = scripted("echo has $(nproc); exec sleep 300");
  service.limits.cpu_percent = 50;
  begin(service);  // a plain folder has no cgroup.procs
  until([&] { return lines_.has("web/0: has 1\n"); });
  EXPECT_EQ(supervisor::cpus_of(replica().pid), supervisor::Cpus{all_.front()});
}

// Also after crashes, and with a supervisor that has executed itself anew.
TEST_F(ReplicaCpus, ReplicasAreSpread) {
  surroundings_.lines = nullptr;  // their pipes would not outlive the first supervisor
  conf::Service service = scripted("exec sleep 300");
  service.limits.cpu_percent = 100;
  service.replicas_min = 2;
  service.replicas_max = 3;
  begin(service);
  until_running(2);
  EXPECT_EQ(cpus(0), supervisor::Cpus{all_[0]});
  EXPECT_EQ(cpus(1), supervisor::Cpus{all_[1]});
  for (int i = 0; i < 3; ++i) {
    const pid_t before = replica(1).pid;
    ::kill(before, SIGKILL);
    until([&] { return replica(1).pid != before && count_of(State::running) == 2; });
    EXPECT_EQ(cpus(1), supervisor::Cpus{all_[1]});
  }
  const supervisor::SavedService saved = service_->save();
  ::kill(saved.replicas.at(0).pid, SIGKILL);  // while there is no supervisor
  service_.reset();
  EXPECT_EQ(surroundings_.cpu_holders.take(2, all_), (supervisor::Cpus{all_[0], all_[1]}));
  surroundings_.cpu_holders.give_back({all_[0], all_[1]});
  service_ =
      std::make_unique<Service>(surroundings_, static_cast<supervisor::ServiceHost&>(*this), saved);
  reaper_.reap();
  until(
      [&] { return replica(0).pid != saved.replicas.at(0).pid && count_of(State::running) == 2; });
  EXPECT_EQ(cpus(0), supervisor::Cpus{all_[0]});
  EXPECT_EQ(cpus(1), supervisor::Cpus{all_[1]});
}

TEST_F(ReplicaProcesses, AnOomKillInItsCgroupIsTheReason) {
  use_plain_tree("memory cpu");
  put("tree/portunus-web-0/cgroup.procs", "");
  put("tree/portunus-web-0/cpu.stat", "usage_usec 5\n");
  put("tree/portunus-web-0/memory.events", "oom_kill 2\n");  // of a former process
  begin(
      scripted("[ -e $FOLDER/was ] && exec sleep 300; touch $FOLDER/was; "
               "echo oom_kill 3 > $FOLDER/tree/portunus-web-0/memory.events; kill -9 $$"));
  until([&] {
    remove_plain_cgroup();
    return restarts(RestartReason::oom) == 1;
  });
  EXPECT_EQ(replica().last_reason, "oom: signal 9 (SIGKILL)");
  EXPECT_EQ(restarts(RestartReason::crashed), 0U);
}

TEST_F(ReplicaProcesses, UsageIsOfTheRunningProcess) {
  begin(scripted("i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; echo done; exec sleep 300"));
  until([&] { return lines_.has("done"); });
  until([&] {  // in the middle of its exec it has next to no memory
    const auto usage = supervisor::usage_of(replica());
    return usage && usage->memory_bytes > 100'000 && usage->cpu_us > 0;
  });
  service_->stop();
  until([&] { return !service_->has_process(); });
  EXPECT_FALSE(supervisor::usage_of(replica()));
}

}  // namespace
}  // namespace portunus::test
