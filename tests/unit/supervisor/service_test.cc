#include "supervisor/service.h"

#include <set>

#include "tests/unit/supervisor/service_fixture.h"

namespace portunus::test {
namespace {

using State = ReplicaState;

class OneService : public ServiceFixture {};

TEST_F(OneService, ReplicasHaveAPortAndANumberOfTheirOwn) {
  conf::Service service = server(3, 5);
  service.command = {"/bin/sh", "-c",
                     "echo $PORT {port} $PORTUNUS_REPLICA {replica} $PORTUNUS_SERVICE > "
                     "$FOLDER/{replica}.tmp; mv $FOLDER/{replica}.tmp $FOLDER/{replica}; "
                     "exec sleep 1000"};
  begin(service);
  until([&] { return has_file("0") && has_file("1") && has_file("2"); });
  std::set<std::string> ports;
  for (std::uint16_t i = 0; i < 3; ++i) {
    const std::string port = std::to_string(service.ports.first + i);
    const std::string number = std::to_string(i);
    EXPECT_EQ(text_of(number), port + ' ' + port + ' ' + number + ' ' + number + " web\n");
  }
  EXPECT_FALSE(has_file("3"));
}

TEST_F(OneService, ScalesWithinItsBoundsAndKeepsTheOthers) {
  begin(server(2, 4));
  until_running(2);
  const std::vector<pid_t> before = pids();
  EXPECT_FALSE(service_->scale(5));
  EXPECT_FALSE(service_->scale(1));
  EXPECT_EQ(service_->scale(1).error().find("service web: 1 is not within"), 0U);
  ASSERT_TRUE(service_->scale(4));
  until_running(4);
  EXPECT_EQ(service_->members().size(), 4U);
  ASSERT_TRUE(service_->scale(2));
  until_running(2);
  EXPECT_EQ(pids(), before);
  EXPECT_EQ(service_->restarts(), supervisor::RestartCounts{});
}

TEST_F(OneService, ScaleSurvivesAReloadThatAllowsIt) {
  conf::Service service = server(1, 4);
  begin(service);
  ASSERT_TRUE(service_->scale(3));
  until_running(3);
  const std::vector<pid_t> before = pids();
  service.replicas_min = 2;
  service_->apply(service);
  turn_for(50ms);
  EXPECT_EQ(pids(), before);
  service.replicas_max = 2;
  service_->apply(service);
  until_running(2);
  service.replicas_max = 4;
  service_->apply(service);
  turn_for(50ms);
  EXPECT_EQ(service_->desired(), 2U);
}

TEST_F(OneService, StormGuardHoldsCrashesBackButNotForGood) {
  conf::Service service = scripted("exit 1");
  service.restart = {conf::RestartPolicy::always, 1ms, 1ms, 3, 2s};
  const std::uint64_t begin_ns = base::monotonic_ns();
  begin(service);
  until([&] { return replica().wait == ReplicaWait::storm_guard; });
  EXPECT_EQ(replica().restarts, 3U);
  EXPECT_EQ(replica().state, State::waiting);
  EXPECT_GT(replica().next_start_us, base::wall_us());
  until([&] { return replica().restarts > 3; });
  EXPECT_GE(base::monotonic_ns() - begin_ns, 1'990'000'000U);
}

TEST_F(OneService, StormGuardLeavesASickOneAtWork) {
  conf::Service service = server(1, 1);
  service.restart.max_in_window = 1;
  is_probing = false;
  begin(service);
  until([&] { return count_of(State::starting) == 1; });
  report(replica(), 0);
  ::kill(replica().pid, SIGKILL);
  until([&] { return replica().restarts == 1 && replica().pid != 0; });
  const pid_t pid = replica().pid;
  report(replica(), 0);
  report(replica(), 3);
  turn_for(50ms);
  EXPECT_EQ(replica().pid, pid);
  EXPECT_EQ(replica().state, State::running);
  EXPECT_NE(replica().sick_since_ns, 0U);
  EXPECT_EQ(replica().wait, ReplicaWait::storm_guard);
  report(replica(), 0);
  EXPECT_EQ(replica().wait, ReplicaWait::nothing) << "it is well again";
}

TEST_F(OneService, AtMostAThirdOfTheSickIsRestartedAtOnce) {
  conf::Service service = server(6, 6);
  is_probing = false;
  begin(service);
  until([&] { return count_of(State::starting) == 6; });
  for (const ReplicaRecord* const record : service_->replicas())
    report(*record, 0);
  until([&] { return count_of(State::running) == 6; });
  std::size_t most = 0;
  on_members = [&](const Service&) {
    most = std::max(most, 6 - count_of(State::running));
  };
  for (const ReplicaRecord* const record : service_->replicas())
    report(*record, 3);
  turn_for(50ms);
  EXPECT_EQ(count_of(State::draining), 2U);
  for (const ReplicaRecord* const record : service_->replicas()) {
    const bool has_its_turn = record->state == State::draining;
    EXPECT_EQ(record->wait, has_its_turn ? ReplicaWait::nothing : ReplicaWait::turn);
  }
  until([&] {
    for (const supervisor::ServiceMember& member : service_->members()) {
      if (member.is_draining) service_->on_drained(member.port, member.life);
    }
    for (const ReplicaRecord* const record : service_->replicas()) {
      if (record->state == State::starting && record->restarts == 1) report(*record, 0);
    }
    return restarts(RestartReason::sick) == 6 && count_of(State::running) == 6;
  });
  EXPECT_EQ(most, 2U);
  on_members = nullptr;
}

TEST_F(OneService, CrashesAreNotHeldBackByTheThird) {
  begin(server(3, 3));
  until_running(3);
  const std::vector<pid_t> before = pids();
  const std::uint64_t begin_ns = base::monotonic_ns();
  for (const pid_t pid : before)
    ::kill(pid, SIGKILL);
  until([&] {
    const std::vector<pid_t> now = pids();
    return std::ranges::none_of(
        now, [&](pid_t pid) { return pid == 0 || std::ranges::find(before, pid) != before.end(); });
  });
  EXPECT_LT(base::monotonic_ns() - begin_ns, 1'000'000'000U);
  until_running(3);
  EXPECT_EQ(restarts(RestartReason::crashed), 3U);
}

TEST_F(OneService, OperatorStopsStartsAndRestarts) {
  begin(server(2, 2));
  until_running(2);
  const std::vector<pid_t> before = pids();
  ASSERT_TRUE(service_->restart());
  until([&] { return restarts(RestartReason::by_operator) == 2; });
  until_running(2);
  EXPECT_NE(pids(), before);
  EXPECT_EQ(replica().last_reason, "operator: restart of the service");
  service_->stop();
  until([&] { return is_last_event("stopped"); });
  EXPECT_FALSE(service_->has_process());
  EXPECT_TRUE(service_->members().empty());
  EXPECT_FALSE(service_->restart());
  EXPECT_FALSE(service_->scale(2));
  turn_for(50ms);
  EXPECT_FALSE(service_->has_process());
  service_->start();
  until_running(2);
}

TEST_F(OneService, KillAllWaitsForNothing) {
  conf::Service service = scripted("trap '' TERM; touch $FOLDER/up; while :; do sleep 1; done");
  service.stop.grace = 60s;
  begin(service);
  until([&] { return has_file("up"); });
  service_->stop();
  turn_for(30ms);
  EXPECT_TRUE(service_->has_process());
  service_->kill_all();
  until([&] { return is_last_event("stopped"); });
  EXPECT_FALSE(service_->has_process());
}

TEST_F(OneService, SettingsAreTakenOverWithoutARestart) {
  conf::Service service = server(2, 2);
  begin(service);
  until_running(2);
  const std::vector<pid_t> before = pids();
  service_->apply(service);
  service.stop.grace = 77ms;
  service.restart.backoff_min = 1ms;
  service.log.keep = 9;
  service.health.fall = 1;
  service_->apply(service);
  turn_for(50ms);
  EXPECT_EQ(pids(), before);
  EXPECT_FALSE(service_->is_rolling());
  EXPECT_EQ(replica().definition, service);
}

TEST_F(OneService, GoesOnAfterItWasSavedAndRestored) {
  begin(server(2, 3));
  until_running(2);
  ::kill(replica().pid, SIGKILL);
  until([&] { return replica().restarts == 1; });
  until_running(2);
  const std::vector<pid_t> before = pids();
  supervisor::SavedService saved = service_->save();
  const auto members = service_->members();
  service_ = nullptr;  // as execve() does: the processes live on
  EXPECT_TRUE(is_alive(before[0]));
  ::kill(before[1], SIGKILL);  // ends while nobody watches it
  service_ = std::make_unique<Service>(surroundings_, static_cast<supervisor::ServiceHost&>(*this),
                                       std::move(saved));
  EXPECT_EQ(service_->members(), members);
  reaper_.reap();
  until([&] { return replica(1).pid != 0 && replica(1).pid != before[1]; });
  until_running(2);
  EXPECT_EQ(replica().pid, before[0]);
  EXPECT_EQ(replica().restarts, 1U);
  EXPECT_EQ(replica().port, service_->definition().ports.first);
  EXPECT_EQ(restarts(RestartReason::crashed), 2U);
  EXPECT_GT(replica(1).life, members[1].life);
  ::kill(replica().pid, SIGKILL);
  until([&] { return restarts(RestartReason::crashed) == 3; });
}

}  // namespace
}  // namespace portunus::test
