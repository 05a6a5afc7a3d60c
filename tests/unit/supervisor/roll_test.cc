#include "supervisor/roll.h"

#include "tests/unit/supervisor/service_fixture.h"

namespace portunus::test {
namespace {

using supervisor::RollState;
using State = ReplicaState;

class Rolls : public ServiceFixture, public supervisor::RollListener {
 protected:
  void on_roll(std::string_view line, RollState state) override {
    lines_.emplace_back(line);
    roll_state_ = state;
  }
  // How few members were there that take requests, and good ones at that.
  void watch_members() {
    fewest_ = 1000;
    on_members = [this](const Service&) {
      const std::size_t good = count_of(State::running);
      fewest_ = std::min(fewest_, good);
    };
  }
  [[nodiscard]] bool are_all_new(const std::vector<pid_t>& before) const {
    const std::vector<pid_t> now = pids();
    return now.size() == before.size() && std::ranges::none_of(now, [&](pid_t pid) {
             return pid == 0 || std::ranges::find(before, pid) != before.end();
           });
  }
  // Ends at once where the file is, serves where it is not.
  [[nodiscard]] conf::Service fragile(std::uint32_t replicas, std::uint16_t ports) const {
    conf::Service service = server(replicas, ports);
    service.command[2] =
        "import os, sys\nif os.path.exists(os.environ['FOLDER'] + '/broken'): "
        "sys.exit(4)\n" +
        service.command[2];
    return service;
  }
  void break_it() const { std::ofstream(folder_ / "broken") << "yes"; }

  std::vector<std::string> lines_;
  RollState roll_state_ = RollState::going;
  std::size_t fewest_ = 0;
};

TEST_F(Rolls, StartFirstNeverHasOneLess) {
  begin(server(3, 4));
  until_running(3);
  const std::vector<pid_t> before = pids();
  watch_members();
  ASSERT_TRUE(service_->roll(this));
  EXPECT_FALSE(service_->roll(this));  // one at a time
  EXPECT_FALSE(service_->scale(4));
  until([&] { return roll_state_ != RollState::going; });
  EXPECT_EQ(roll_state_, RollState::done) << lines_.back();
  until_running(3);
  EXPECT_TRUE(are_all_new(before));
  EXPECT_GE(fewest_, 2U);  // the one that drains is not counted; a newcomer is good by then
  EXPECT_EQ(service_->members().size(), 3U);
  EXPECT_NE(std::ranges::find(lines_, "3 of 3 done"), lines_.end());
  EXPECT_EQ(restarts(RestartReason::roll), 3U);
  EXPECT_EQ(replica().last_reason, "roll: rolling restart");
  for (const pid_t pid : before)
    EXPECT_FALSE(is_alive(pid));
  on_members = nullptr;
}

TEST_F(Rolls, StopFirstWhereNoPortIsFree) {
  begin(server(2, 2));
  until_running(2);
  const std::vector<pid_t> before = pids();
  watch_members();
  ASSERT_TRUE(service_->roll(this));
  until([&] { return roll_state_ != RollState::going; });
  EXPECT_EQ(roll_state_, RollState::done) << lines_.back();
  until_running(2);
  EXPECT_TRUE(are_all_new(before));
  EXPECT_EQ(fewest_, 1U);
  EXPECT_EQ(restarts(RestartReason::roll), 2U);
  on_members = nullptr;
}

TEST_F(Rolls, FailedNewcomerLeavesTheOthersAlone) {
  begin(fragile(2, 3));
  until_running(2);
  const std::vector<pid_t> before = pids();
  break_it();
  ASSERT_TRUE(service_->roll(this));
  until([&] { return roll_state_ != RollState::going; });
  EXPECT_EQ(roll_state_, RollState::failed);
  EXPECT_NE(lines_.back().find("it ended before it was good; the old one stays"), std::string::npos)
      << lines_.back();
  until_running(2);
  EXPECT_EQ(pids(), before);
}

TEST_F(Rolls, NewcomerThatIsNotGoodInTimeFails) {
  conf::Service service = server(2, 3);
  service.start_period = 150ms;
  service.health.timeout = 50ms;
  begin(service);
  until_running(2);
  const std::vector<pid_t> before = pids();
  is_probing = false;  // nobody says that it is good
  ASSERT_TRUE(service_->roll(this));
  until([&] { return roll_state_ != RollState::going; });
  EXPECT_NE(lines_.back().find("not good in time"), std::string::npos) << lines_.back();
  is_probing = true;
  until_running(2);
  EXPECT_EQ(pids(), before);
}

TEST_F(Rolls, ChangedDefinitionIsRolledOut) {
  conf::Service service = server(2, 3);
  begin(service);
  until_running(2);
  const std::vector<pid_t> before = pids();
  service.environment.emplace_back("NEW", "1");
  service_->apply(service);
  until([&] { return service_->is_rolling(); });
  until_running(2);
  EXPECT_TRUE(are_all_new(before));
  for (const ReplicaRecord* const record : service_->replicas())
    EXPECT_EQ(record->definition, service);
  const std::vector<pid_t> after = pids();
  service_->apply(service);
  turn_for(50ms);
  EXPECT_EQ(pids(), after);
}

TEST_F(Rolls, DefinitionThatDoesNotWorkIsRolledBackStartFirst) {
  const conf::Service service = server(2, 3);
  begin(service);
  until_running(2);
  const std::vector<pid_t> before = pids();
  conf::Service broken = service;
  broken.command = {"/bin/false"};
  service_->apply(broken);
  EXPECT_EQ(service_->definition(), broken);
  until([&] { return service_->definition() == service; });
  until_running(2);
  EXPECT_EQ(pids(), before);
  EXPECT_EQ(service_->definition(), service);
}

// What was missing is there now, and the file is the same: a reload has nothing to say to it.
TEST_F(Rolls, DefinitionThatHasNotWorkedIsTriedAgainByARoll) {
  const conf::Service service = fragile(2, 3);
  begin(service);
  until_running(2);
  const std::vector<pid_t> before = pids();
  break_it();
  conf::Service changed = service;
  changed.environment.emplace_back("NEW", "1");
  service_->apply(changed);
  until([&] { return !service_->refusal().empty(); });
  EXPECT_NE(service_->refusal().find("it ended before it was good"), std::string::npos)
      << service_->refusal();
  until_running(2);
  EXPECT_EQ(service_->save().definition, service);
  ASSERT_TRUE(service_->roll(this));
  until([&] { return roll_state_ != RollState::going; });
  EXPECT_EQ(roll_state_, RollState::failed) << "not a roll of what runs already";
  until_running(2);
  EXPECT_EQ(pids(), before);
  EXPECT_NE(service_->refusal(), "");
  std::filesystem::remove(folder_ / "broken");
  roll_state_ = RollState::going;
  ASSERT_TRUE(service_->roll(this));
  until([&] { return roll_state_ != RollState::going; });
  EXPECT_EQ(roll_state_, RollState::done) << lines_.back();
  until_running(2);
  EXPECT_TRUE(are_all_new(before));
  EXPECT_EQ(service_->definition(), changed);
  EXPECT_EQ(service_->refusal(), "");
}

TEST_F(Rolls, DefinitionThatDoesNotWorkIsRolledBackStopFirst) {
  const conf::Service service = server(2, 2);
  begin(service);
  until_running(2);
  const std::vector<pid_t> before = pids();
  conf::Service broken = service;
  broken.command = {"/bin/false"};
  service_->apply(broken);
  EXPECT_EQ(service_->definition(), broken);
  until([&] { return service_->definition() == service; });
  until_running(2);
  EXPECT_EQ(pids()[1], before[1]);
  EXPECT_EQ(service_->definition(), service);
  EXPECT_EQ(replica().definition, service);
  EXPECT_EQ(replica().last_reason, "config: rolled back: it ended before it was good");
}

// The first newcomer works, the second does not: all of them are what they were in the end.
TEST_F(Rolls, WhatWasRolledBeforeAFailureGoesBackToo) {
  const conf::Service service = server(2, 2);
  begin(service);
  until_running(2);
  conf::Service broken = service;
  broken.command[2] = "import os, sys\nif {port} != " + std::to_string(service.ports.first) +
                      ": sys.exit(4)\n" + broken.command[2];
  service_->apply(broken);
  until([&] { return restarts(RestartReason::config) >= 4; });
  until_running(2);
  for (const ReplicaRecord* const record : service_->replicas())
    EXPECT_EQ(record->definition.command, service.command);
}

TEST_F(Rolls, BrokenServiceIsMendedByAReload) {
  const conf::Service service = server(2, 3);
  conf::Service broken = service;
  broken.command = {"/does/not/exist"};
  broken.restart.backoff_min = 60s;
  broken.restart.backoff_max = 60s;
  begin(broken);
  until([&] { return count_of(State::waiting) == 2 && replica().strikes > 0; });
  service_->apply(service);
  until_running(2);
  EXPECT_EQ(replica().definition, service);
}

TEST_F(Rolls, StopBreaksItOff) {
  begin(server(2, 3));
  until_running(2);
  ASSERT_TRUE(service_->roll(this));
  until([&] { return service_->replicas().size() == 3; });
  service_->stop();
  EXPECT_EQ(roll_state_, RollState::failed);
  EXPECT_EQ(lines_.back(), "broken off: the service is stopped");
  until([&] { return is_last_event("stopped"); });
  EXPECT_FALSE(service_->has_process());
}

TEST_F(Rolls, ListenerMayGo) {
  begin(server(1, 2));
  until_running(1);
  const pid_t before = replica().pid;
  ASSERT_TRUE(service_->roll(this));
  service_->forget_listener(*this);
  const std::size_t told = lines_.size();
  until([&] { return !service_->is_rolling(); });
  EXPECT_EQ(lines_.size(), told);
  EXPECT_NE(replica().pid, before);
}

}  // namespace
}  // namespace portunus::test
