#include "supervisor/replica.h"

#include <ctime>
#include <sstream>

#include "tests/unit/supervisor/service_fixture.h"

namespace portunus::test {
namespace {

using State = ReplicaState;

class Replicas : public ServiceFixture {
 protected:
  [[nodiscard]] static std::size_t open_descriptors() {
    const std::filesystem::directory_iterator all("/proc/self/fd");
    return static_cast<std::size_t>(std::distance(all, {}));
  }
  // Children of ours, zombies too.
  [[nodiscard]] static std::size_t children() {
    std::ifstream in("/proc/self/task/" + std::to_string(::getpid()) + "/children");
    return static_cast<std::size_t>(
        std::distance(std::istream_iterator<pid_t>(in), std::istream_iterator<pid_t>()));
  }
  [[nodiscard]] pid_t pid_in(const std::string& file) const {
    return static_cast<pid_t>(std::stol(text_of(file)));
  }
  [[nodiscard]] static std::uint64_t own_cpu_ns() {
    timespec time{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000 +
           static_cast<std::uint64_t>(time.tv_nsec);
  }
  bool was_stopped_early_ = false;
};

TEST_F(Replicas, ServesAfterItsFirstGoodProbe) {
  is_probing = false;
  begin(server(1, 1));
  until([&] { return count_of(State::starting) == 1; });
  EXPECT_EQ(events_.back(), "members 0");
  is_probing = true;
  until_running(1);
  EXPECT_EQ(replica().restarts, 0U);
  EXPECT_EQ(replica().port, service_->definition().ports.first);
  EXPECT_EQ(::getpgid(replica().pid), replica().pid);
}

// The best of some, for busy machines.
TEST_F(Replicas, CrashIsMendedWithinASecond) {
  begin(server(1, 1));
  until_running(1);
  const pid_t old = replica().pid;
  events_.clear();
  std::uint64_t begin_ns = base::monotonic_ns();
  ::kill(old, SIGKILL);
  until([&] { return replica().pid != old && replica().pid != 0; });
  std::uint64_t best_ns = base::monotonic_ns() - begin_ns;
  EXPECT_EQ(events_, (std::vector<std::string>{"members", "members 0"}));
  EXPECT_EQ(replica().last_reason, "crashed: signal 9 (SIGKILL)");
  EXPECT_EQ(restarts(RestartReason::crashed), 1U);
  for (int i = 0; i < 3 && best_ns >= 1'000'000'000; ++i) {
    until_running(1);
    const pid_t next = replica().pid;
    begin_ns = base::monotonic_ns();
    ::kill(next, SIGKILL);
    until([&] { return replica().pid != next && replica().pid != 0; });
    best_ns = std::min(best_ns, base::monotonic_ns() - begin_ns);
  }
  EXPECT_LT(best_ns, 1'000'000'000U);
  until_running(1);
}

TEST_F(Replicas, CrashLoopBacksOff) {
  conf::Service service = scripted("date +%s%N >> $FOLDER/starts; exit 3");
  service.start_period = 1s;  // never good
  service.restart.backoff_min = 50ms;
  service.restart.backoff_max = 400ms;
  begin(service);
  const std::uint64_t begin_ns = base::monotonic_ns();
  const std::uint64_t cpu_ns = own_cpu_ns();
  until([&] { return replica().restarts == 5; });
  EXPECT_LT(own_cpu_ns() - cpu_ns, (base::monotonic_ns() - begin_ns) / 4);
  until([&] { return lines_of("starts") == 6; });
  until([&] { return count_of(State::waiting) == 1; });
  EXPECT_EQ(replica().wait, ReplicaWait::backoff);
  EXPECT_EQ(replica().last_reason, "crashed: status 3");
  std::istringstream in(text_of("starts"));
  std::vector<std::int64_t> starts{std::istream_iterator<std::int64_t>(in), {}};
  // 50, 100, 200, 400, 400 ms, at most a quarter less
  const std::vector<std::int64_t> least{37, 75, 150, 300, 300};
  for (std::size_t i = 0; i < least.size(); ++i)
    EXPECT_GE((starts[i + 1] - starts[i]) / 1'000'000, least[i]) << i;
}

TEST_F(Replicas, BackOffIsForgottenAfterAWhileOfRunning) {
  conf::Service service = scripted("exec sleep 1000");
  service.restart.backoff_min = 20ms;
  service.restart.backoff_max = 1500ms;  // the while: none of the three is left alone for so long
  begin(service);
  for (int i = 0; i < 3; ++i) {
    until_running(1);
    ::kill(replica().pid, SIGKILL);
    until([&] { return count_of(State::running) == 0; });
  }
  until_running(1);
  EXPECT_EQ(replica().strikes, 3U);
  until([&] { return replica().strikes == 0; });
}

TEST_F(Replicas, WhatCannotBeExecutedIsAFailedStart) {
  conf::Service service = scripted("");
  service.command = {"/does/not/exist"};
  begin(service);
  until([&] { return restarts(RestartReason::start_failed) == 3; });
  EXPECT_NE(replica().last_reason.find("No such file"), std::string::npos) << replica().last_reason;
  EXPECT_EQ(replica().pid, 0);
}

TEST_F(Replicas, PolicyNeverAndOnFailure) {
  conf::Service service = scripted("exit 1");
  service.restart.policy = conf::RestartPolicy::never;
  begin(service);
  until([&] { return count_of(State::stopped) == 1 && replica().started_ns != 0; });
  turn_for(100ms);
  EXPECT_EQ(replica().state, State::stopped);
  EXPECT_EQ(replica().restarts, 0U);
  EXPECT_EQ(replica().last_reason, "crashed: status 1");

  service_ = nullptr;
  service = scripted("exit 0");
  service.command = {"/no/such/program"};
  service.restart.policy = conf::RestartPolicy::never;
  begin(service);
  until([&] { return count_of(State::stopped) == 1 && !replica().last_reason.empty(); });
  turn_for(100ms);
  EXPECT_EQ(replica().state, State::stopped);
  EXPECT_EQ(replica().restarts, 0U);
  EXPECT_EQ(replica().last_reason.substr(0, 14), "start_failed: ");

  service_ = nullptr;
  service = scripted("test -e $FOLDER/was_here && exit 0; touch $FOLDER/was_here; exit 1");
  service.restart.policy = conf::RestartPolicy::on_failure;
  begin(service);
  until([&] { return count_of(State::stopped) == 1 && replica().started_ns != 0; });
  EXPECT_EQ(replica().restarts, 1U);  // after the status 1, and not after the 0
  turn_for(100ms);
  EXPECT_EQ(replica().restarts, 1U);
  EXPECT_EQ(replica().state, State::stopped);
  EXPECT_EQ(replica().last_reason, "ended: status 0");
}

TEST_F(Replicas, SickOneLeavesTheMembersBeforeItIsStopped) {
  conf::Service service = server(1, 1);
  service.command = {"/bin/sh", "-c",
                     "trap 'touch $FOLDER/got_term; exit 0' TERM; touch $FOLDER/up; "
                     "while :; do sleep 0.01; done"};
  is_probing = false;
  begin(service);
  until([&] { return has_file("up"); });
  report(replica(), 0);
  EXPECT_EQ(replica().state, State::running);
  report(replica(), 1);
  report(replica(), 2);
  turn_for(20ms);
  EXPECT_EQ(replica().state, State::running);
  const pid_t old = replica().pid;
  events_.clear();
  on_members = [&](const Service& changed) {
    if (!changed.members().empty()) return;
    was_stopped_early_ = has_file("got_term");
    ::usleep(100'000);  // a signal sent before this would have been seen by the end of it
    was_stopped_early_ = was_stopped_early_ || has_file("got_term");
  };
  report(replica(), 3);
  until([&] { return replica().state == State::draining; });
  turn_for(50ms);
  EXPECT_EQ(replica().state, State::draining);  // until the proxy says so
  EXPECT_FALSE(has_file("got_term"));
  service_->on_drained(replica().port, replica().life + 1);  // another process is meant
  EXPECT_EQ(replica().state, State::draining);
  service_->on_drained(replica().port, replica().life);
  EXPECT_FALSE(was_stopped_early_);
  until([&] { return replica().pid != 0 && replica().pid != old; });
  EXPECT_TRUE(has_file("got_term"));
  EXPECT_EQ(events_, (std::vector<std::string>{"members 0d", "members", "members 0"}));
  EXPECT_EQ(replica().state, State::starting);
  EXPECT_EQ(replica().last_reason, "sick: 3 failed probes: refused");
  EXPECT_EQ(restarts(RestartReason::sick), 1U);
  on_members = nullptr;
}

TEST_F(Replicas, DrainEndsWithTheGrace) {
  conf::Service service = server(1, 1);
  service.stop.grace = 100ms;
  is_drained = false;
  begin(service);
  until_running(1);
  const std::uint64_t begin_ns = base::monotonic_ns();
  service_->stop();
  EXPECT_EQ(replica().state, State::draining);
  until([&] { return is_last_event("stopped"); });
  EXPECT_GE(base::monotonic_ns() - begin_ns, 90'000'000U);
}

TEST_F(Replicas, FailedProbesOfTheStartPeriodDoNotCount) {
  conf::Service service = server(1, 1);
  service.command = {"sleep", "1000"};
  service.start_period = 1500ms;  // a slow machine reports within it
  service.stop.grace = 100ms;
  is_probing = false;
  begin(service);
  until([&] { return count_of(State::starting) == 1; });
  for (std::uint32_t i = 1; i <= 20; ++i)
    report(replica(), i);
  turn_for(1600ms);
  EXPECT_EQ(replica().state, State::starting);
  report(replica(), 21);
  report(replica(), 22);
  turn_for(10ms);
  EXPECT_EQ(replica().state, State::starting);
  report(replica(), 23);
  until([&] { return restarts(RestartReason::sick) == 1; });
}

TEST_F(Replicas, WhatWasFoundOfAFormerProcessIsIgnored) {
  conf::Service service = server(1, 1);
  service.command = {"sleep", "1000"};
  is_probing = false;
  begin(service);
  until([&] { return count_of(State::starting) == 1; });
  service_->on_health({replica().port, replica().life + 1, 0, ""});
  EXPECT_EQ(replica().state, State::starting);
  service_->on_health({replica().port, replica().life, 0, ""});
  EXPECT_EQ(replica().state, State::running);
}

TEST_F(Replicas, WhoIgnoresTermIsKilledAfterTheGrace) {
  conf::Service service = scripted("trap '' TERM; touch $FOLDER/up; while :; do sleep 1; done");
  service.stop.grace = 150ms;
  begin(service);
  until([&] { return has_file("up"); });
  const std::uint64_t begin_ns = base::monotonic_ns();
  const pid_t pid = replica().pid;
  service_->stop();
  until([&] { return is_last_event("stopped"); });
  EXPECT_GE(base::monotonic_ns() - begin_ns, 140'000'000U);
  EXPECT_FALSE(is_alive(pid));
  EXPECT_EQ(replica().last_exit.signal, SIGKILL);
}

TEST_F(Replicas, GrandchildrenAreGoneAfterAStopAndBeforeTheNextStart) {
  const conf::Service service = scripted(
      "(trap '' TERM; while :; do sleep 1; done) & echo $! > $FOLDER/$$.tmp; "
      "mv $FOLDER/$$.tmp $FOLDER/grandchild; wait");
  begin(service);
  until([&] { return has_file("grandchild"); });
  const pid_t first = pid_in("grandchild");
  EXPECT_TRUE(is_alive(first));
  const pid_t old = replica().pid;
  bool was_gone = false;
  ::kill(old, SIGKILL);
  until([&] {
    if (replica().pid == 0 || replica().pid == old) return false;
    was_gone = !is_alive(first);
    return true;
  });
  EXPECT_TRUE(was_gone);
  until([&] { return pid_in("grandchild") != first; });
  const pid_t second = pid_in("grandchild");
  EXPECT_TRUE(is_alive(second));
  service_->stop();
  until([&] { return is_last_event("stopped"); });
  EXPECT_FALSE(is_alive(second));
}

TEST_F(Replicas, PortOfAStrangerIsLeftToIt) {
  conf::Service service = server(1, 2);
  const std::uint16_t first = service.ports.first;
  auto squatter = std::make_unique<Squatter>(first);
  begin(service);
  until_running(1);
  EXPECT_EQ(replica().port, first + 1);
  squatter = nullptr;

  const pid_t old = replica().pid;
  ::kill(old, SIGKILL);  // it keeps its port, although the first one is free now
  until([&] { return replica().pid != 0 && replica().pid != old; });
  EXPECT_EQ(replica().port, first + 1);
}

TEST_F(Replicas, WaitsWhileNoPortIsFree) {
  conf::Service service = server(1, 1);
  auto squatter = std::make_unique<Squatter>(service.ports.first, INADDR_ANY);
  begin(service);
  until([&] { return replica().wait == ReplicaWait::port; });
  turn_for(100ms);
  EXPECT_EQ(replica().state, State::waiting);
  EXPECT_EQ(replica().pid, 0);
  squatter = nullptr;
  until_running(1);
  EXPECT_EQ(replica().restarts, 0U);  // it has only been late
}

TEST_F(Replicas, ManyCrashesLeaveNothingBehind) {
  conf::Service service = scripted("sleep 1000 & exit 1");
  service.restart.backoff_min = 1ms;
  service.restart.backoff_max = 1ms;
  begin(service);
  until([&] { return replica().restarts == 10; });
  const std::size_t before = open_descriptors();
  until([&] { return replica().restarts >= 210; }, 60s);
  until([&] { return open_descriptors() == before; });
  service_->stop();
  until([&] { return is_last_event("stopped"); });
  until([&] { return children() == 0; });
}

}  // namespace
}  // namespace portunus::test
