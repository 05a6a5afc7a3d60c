// TrafficJudge: what becomes of the news of data-plane threads. Members are objects without a server,
// and the test counts for them.
#include "health/traffic_judge.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"

namespace portunus::health {
namespace {

using Phase = Suspension::Phase;

struct JudgeLog final : JudgeEvents {
  void on_trial_free(const Member& /*member*/) override { ++frees; }
  void on_judged(const Member& member, const StateChange& change) override {
    lines.push_back(member.name + ": " + name_of(change.from) + " -> " + name_of(change.to) + " (" +
                    change.cause + ") " + std::string(change.reason));
  }
  std::vector<std::string> lines;
  int frees = 0;
};

class TrafficJudgeTest : public testing::Test {
 protected:
  TrafficJudgeTest() {
    pool_.name = "web";
    pool_.passive.eject_for = pool_.passive.max_eject_for = conf::Milliseconds{60};
    pool_.breaker.open_for = conf::Milliseconds{60};
    for (const char* name : {"a", "b", "c"}) {
      members_.push_back(std::make_shared<Member>("web", name, net::Address()));
      members_.back()->verdict = MemberState::up;
      members_.back()->publish();
    }
  }
  ~TrafficJudgeTest() override {
    judge_.stop();
    loop_.stop();
    loop_.run();
  }
  void set() {
    judge_.set_pools({{.passive = pool_.passive,
                       .breaker = pool_.breaker,
                       .is_probed = false,
                       .members = members_}});
  }
  void answer(std::size_t which, Outcome outcome, int times = 1) {
    for (int i = 0; i < times; ++i)
      if (members_[which]->conduct.note(outcome, pool_)) judge_.on_news(members_[which].get());
  }
  void fail(std::size_t which, int times = 1) { answer(which, {.is_failure = true}, times); }
  // One that a member on trial gets, if it still does.
  void try_it(std::size_t which, bool is_failure) {
    ASSERT_TRUE(members_[which]->trials.is_limited());
    ASSERT_TRUE(members_[which]->trials.take());
    answer(which, {.is_failure = is_failure, .is_trial = true});
  }
  template <typename Done>
  bool run_until(Done done) {
    const std::uint64_t end_ns = base::monotonic_ns() + std::uint64_t{5} * 1'000'000'000;
    while (!done()) {
      if (base::monotonic_ns() > end_ns) return false;
      uv_run(loop_.uv(), UV_RUN_ONCE);
    }
    return true;
  }
  MemberState state(std::size_t which) { return members_[which]->state.load(); }
  const TrafficStatus& status(std::size_t which) { return *judge_.status_of(*members_[which]); }

  net::Loop loop_;
  JudgeLog log_;
  TrafficJudge judge_{loop_, log_};
  conf::Pool pool_;
  std::vector<std::shared_ptr<Member>> members_;
};

TEST_F(TrafficJudgeTest, EjectsTriesAndLetsBack) {
  set();
  fail(0, 4);
  EXPECT_EQ(state(0), MemberState::up);
  fail(0);
  EXPECT_EQ(state(0), MemberState::ejected);
  EXPECT_EQ(status(0).ejections, 1U);
  ASSERT_TRUE(run_until([&] { return state(0) == MemberState::up; }));
  EXPECT_EQ(status(0).ejection, Phase::trial);
  try_it(0, false);
  EXPECT_EQ(status(0).ejection, Phase::in);
  EXPECT_FALSE(members_[0]->trials.is_limited());
  ASSERT_EQ(log_.lines.size(), 3U);
  EXPECT_EQ(log_.lines[0],
            "a: up -> ejected (passive) ejected for 60 ms: 5 failures in a row, the last one an "
            "error status");
  EXPECT_EQ(log_.lines[2], "a: up -> up (passive) its trial went well");
}

TEST_F(TrafficJudgeTest, NoMoreThanItsShareAndNeverTheLast) {
  pool_.passive.max_ejected_ratio = 1;
  pool_.passive.eject_for = pool_.passive.max_eject_for = conf::Milliseconds{60'000};
  set();
  members_[1]->verdict = MemberState::down;
  members_[1]->publish();
  judge_.on_verdict(*members_[1]);
  fail(0, 5);
  fail(2, 50);
  EXPECT_EQ(state(0), MemberState::ejected);
  EXPECT_EQ(state(2), MemberState::up) << "there is nobody else";
  members_[1]->verdict = MemberState::up;
  members_[1]->publish();
  judge_.on_verdict(*members_[1]);
  // Its failures are looked at again without another one.
  ASSERT_TRUE(run_until([&] { return state(2) == MemberState::ejected; }));
}

TEST_F(TrafficJudgeTest, ShareIsRoundedDown) {
  set();  // half of three
  fail(0, 5);
  fail(1, 50);
  EXPECT_EQ(state(0), MemberState::ejected);
  EXPECT_EQ(state(1), MemberState::up);
}

// Those on trial hold their places: their next ejection asks nobody.
TEST_F(TrafficJudgeTest, TrialsCountForTheShare) {
  set();
  fail(0, 5);
  ASSERT_TRUE(run_until([&] { return status(0).ejection == Phase::trial; }));
  fail(1, 50);
  EXPECT_EQ(state(1), MemberState::up);
  try_it(0, true);
  EXPECT_EQ(state(0), MemberState::ejected);
}

TEST_F(TrafficJudgeTest, AnEjectionEndsWhenNobodyElseIsLeft) {
  pool_.passive.eject_for = pool_.passive.max_eject_for = conf::Milliseconds{60'000};
  set();
  fail(0, 5);
  ASSERT_EQ(state(0), MemberState::ejected);
  for (const std::size_t which : {1, 2}) {
    members_[which]->verdict = MemberState::down;
    members_[which]->publish();
    judge_.on_verdict(*members_[which]);
    EXPECT_EQ(state(0), which == 1 ? MemberState::ejected : MemberState::up);
  }
  EXPECT_EQ(log_.lines.back(),
            "a: ejected -> up (passive) nobody else is left: it takes requests again");
}

TEST_F(TrafficJudgeTest, AnEjectionEndsWhenTheOthersLeaveThePool) {
  pool_.passive.eject_for = pool_.passive.max_eject_for = conf::Milliseconds{60'000};
  set();
  fail(0, 5);
  members_.resize(1);
  set();
  EXPECT_EQ(state(0), MemberState::up);
}

TEST_F(TrafficJudgeTest, AFailedTrialOfTheOnlyOneLeftLetsItBack) {
  set();
  fail(0, 5);
  ASSERT_TRUE(run_until([&] { return status(0).ejection == Phase::trial; }));
  for (const std::size_t which : {1, 2}) {
    members_[which]->admin = AdminState::drained;
    members_[which]->publish();
  }
  try_it(0, true);
  EXPECT_EQ(state(0), MemberState::up);
  EXPECT_FALSE(members_[0]->trials.is_limited());
}

// While it was down its old requests ended one after the other.
TEST_F(TrafficJudgeTest, FailuresOfBeforeItWasUpDoNotCount) {
  set();
  members_[0]->verdict = MemberState::down;
  members_[0]->publish();
  judge_.on_verdict(*members_[0]);
  fail(0, 50);
  members_[0]->verdict = MemberState::up;
  members_[0]->publish();
  judge_.on_verdict(*members_[0]);
  const std::size_t told = log_.lines.size();
  fail(0, 4);
  EXPECT_EQ(state(0), MemberState::up);
  EXPECT_EQ(log_.lines.size(), told);
}

TEST_F(TrafficJudgeTest, WhatWasCountedBeforeItIsJudgedDoesNotCount) {
  pool_.breaker.is_on = true;
  members_[0]->conduct.is_watched = true;  // a judge before this one went away
  answer(0, {.is_failure = true}, 4);
  answer(0, {}, 1'000);
  members_[0]->conduct.failures_in_row = 4;
  set();
  EXPECT_FALSE(members_[0]->conduct.is_watched.load()) << "the next failure is news";
  fail(0, 1);
  EXPECT_TRUE(members_[1]->conduct.is_watched.load());
  EXPECT_EQ(state(0), MemberState::up);
}

TEST_F(TrafficJudgeTest, AProbeThatFailsEndsAnEjection) {
  pool_.passive.eject_for = pool_.passive.max_eject_for = conf::Milliseconds{60'000};
  set();
  fail(0, 5);
  ASSERT_EQ(state(0), MemberState::ejected);
  members_[0]->verdict = MemberState::down;
  members_[0]->publish();
  EXPECT_EQ(state(0), MemberState::down) << "what probes say goes first";
  judge_.on_verdict(*members_[0]);
  members_[0]->verdict = MemberState::up;
  members_[0]->publish();
  EXPECT_EQ(state(0), MemberState::up) << "it is another process";
  EXPECT_EQ(status(0).reason, "");
}

TEST_F(TrafficJudgeTest, TheOthersAreCountedAsSoonAsOneFails) {
  pool_.passive.consecutive_failures = 0;
  set();
  answer(1, {}, 1'000);
  EXPECT_EQ(members_[1]->conduct.done.load(), 0U) << "nothing is written while all is well";
  fail(0);
  EXPECT_TRUE(members_[1]->conduct.is_watched.load());
  answer(1, {}, 20);
  fail(0, 19);
  EXPECT_EQ(state(0), MemberState::up) << "it is the clock that compares";
  ASSERT_TRUE(run_until([&] { return state(0) == MemberState::ejected; }));
  EXPECT_NE(status(0).reason.find("20 of 20 requests failed, and of the others' 0 of 20"),
            std::string::npos)
      << status(0).reason;
}

TEST_F(TrafficJudgeTest, QuietPoolsAreLeftAlone) {
  pool_.passive.window = pool_.breaker.window = conf::Milliseconds{1'000};
  set();
  fail(0);
  EXPECT_TRUE(members_[2]->conduct.is_watched.load());
  ASSERT_TRUE(run_until([&] { return !members_[2]->conduct.is_watched.load(); }));
  EXPECT_FALSE(members_[0]->conduct.is_watched.load());
  answer(0, {}, 10);
  EXPECT_EQ(members_[0]->conduct.done.load(), 1U);
  fail(0);
  EXPECT_TRUE(members_[2]->conduct.is_watched.load()) << "and looked at again";
}

TEST_F(TrafficJudgeTest, TheBreakerOfTheLastMemberOpens) {
  pool_.breaker.is_on = true;
  pool_.breaker.consecutive_failures = 3;
  members_.resize(1);
  set();
  fail(0, 3);
  EXPECT_EQ(state(0), MemberState::ejected);
  EXPECT_TRUE(members_[0]->is_broken.load());
  EXPECT_EQ(status(0).breaker, Phase::out);
  ASSERT_TRUE(run_until([&] { return status(0).breaker == Phase::trial; }));
  EXPECT_TRUE(members_[0]->is_broken.load()) << "others than the trials find nobody because of it";
  try_it(0, false);
  try_it(0, false);
  EXPECT_EQ(status(0).breaker, Phase::trial);
  try_it(0, true);
  EXPECT_EQ(status(0).breaker, Phase::out);
  EXPECT_EQ(status(0).trips[static_cast<std::size_t>(BreakerTrip::trial)], 1U);
  ASSERT_TRUE(run_until([&] { return status(0).breaker == Phase::trial; }));
  for (int i = 0; i < 3; ++i)
    try_it(0, false);
  EXPECT_EQ(status(0).breaker, Phase::in);
  EXPECT_EQ(state(0), MemberState::up);
  EXPECT_FALSE(members_[0]->is_broken.load());
}

TEST_F(TrafficJudgeTest, ATrialWithoutAnOutcomeLeavesItsPlace) {
  pool_.breaker.is_on = true;
  pool_.breaker.consecutive_failures = 3;
  set();
  fail(0, 3);
  ASSERT_TRUE(run_until([&] { return status(0).breaker == Phase::trial; }));
  ASSERT_TRUE(members_[0]->trials.take());
  members_[0]->trials.give();
  judge_.on_news(members_[0].get());
  EXPECT_EQ(log_.frees, 1) << "somebody may wait for it";
}

TEST_F(TrafficJudgeTest, ASlowAnswerIsNoGoodTrial) {
  pool_.breaker.is_on = true;
  pool_.breaker.consecutive_failures = 3;
  set();
  fail(0, 3);
  ASSERT_TRUE(run_until([&] { return status(0).breaker == Phase::trial; }));
  ASSERT_TRUE(members_[0]->trials.take());
  answer(0, {.is_slow = true, .is_trial = true});
  EXPECT_EQ(status(0).breaker, Phase::out);
}

TEST_F(TrafficJudgeTest, NewListsKeepWhatIsKnown) {
  pool_.passive.eject_for = pool_.passive.max_eject_for = conf::Milliseconds{60'000};
  set();
  fail(0, 5);
  const auto first = members_[0];
  members_.push_back(std::make_shared<Member>("web", "d", net::Address()));
  set();
  EXPECT_EQ(state(0), MemberState::ejected);
  EXPECT_EQ(status(0).ejections, 1U);
  members_.erase(members_.begin());
  set();
  EXPECT_EQ(first->state.load(), MemberState::up) << "nobody judges it any more";
  EXPECT_EQ(judge_.status_of(*first), nullptr);
  judge_.on_news(first.get());  // posted before
}

TEST_F(TrafficJudgeTest, OffLetsGo) {
  pool_.passive.eject_for = pool_.passive.max_eject_for = conf::Milliseconds{60'000};
  set();
  fail(0, 5);
  ASSERT_EQ(state(0), MemberState::ejected);
  pool_.passive.is_on = false;
  pool_.breaker.is_on = true;
  set();
  EXPECT_EQ(state(0), MemberState::up);
  EXPECT_EQ(status(0).ejection, Phase::in);
}

// ---- over a restart of the proxy ----

TEST_F(TrafficJudgeTest, AnEjectionGoesOnInTheNextProcess) {
  pool_.passive.eject_for = pool_.passive.max_eject_for = conf::Milliseconds{60'000};
  set();
  EXPECT_FALSE(judge_.held(*members_[0]));
  fail(0, 5);
  const auto held = judge_.held(*members_[0]);
  ASSERT_TRUE(held);
  EXPECT_FALSE(held->is_breaker);
  EXPECT_EQ(held->times, 1U);
  EXPECT_EQ(held->reason, status(0).reason);
  const std::uint64_t left_us = held->until_us - held->since_us;
  EXPECT_GT(left_us, 59'000'000U);
  EXPECT_LE(left_us, 60'000'000U);

  judge_.set_pools({});
  ASSERT_EQ(state(0), MemberState::up);
  set();
  // A minute has passed but for 50 ms.
  judge_.resume(*members_[0], *held, held->until_us - 50'000);
  EXPECT_EQ(state(0), MemberState::ejected);
  EXPECT_EQ(status(0).reason, held->reason);
  EXPECT_EQ(status(0).since_us, held->since_us);
  ASSERT_TRUE(run_until([&] { return state(0) == MemberState::up; }));
  EXPECT_EQ(status(0).ejection, Phase::trial);
  try_it(0, true);
  EXPECT_EQ(state(0), MemberState::ejected);
  EXPECT_EQ(judge_.held(*members_[0])->times, 2U) << "it is the second in a row";
}

TEST_F(TrafficJudgeTest, ABreakerGoesOnInTheNextProcess) {
  pool_.passive.is_on = false;
  pool_.breaker.is_on = true;
  set();
  const Held held{.is_breaker = true, .since_us = 10, .until_us = 1'000'000, .reason = "open"};
  judge_.resume(*members_[1], held, 900'000);
  EXPECT_TRUE(members_[1]->is_broken.load());
  EXPECT_EQ(status(1).breaker, Phase::out);
  ASSERT_TRUE(run_until([&] { return status(1).breaker == Phase::trial; }));
  EXPECT_EQ(judge_.held(*members_[1])->until_us, 0U) << "its time is over";
}

// The text has been on a disk: no more than the rule allows.
TEST_F(TrafficJudgeTest, WhatIsTakenOverIsHeldAgainstTheRule) {
  pool_.breaker.is_on = false;
  set();
  const std::uint64_t never = ~std::uint64_t{0};
  judge_.resume(*members_[0], {.is_breaker = true, .until_us = never, .reason = "x"}, 5);
  EXPECT_EQ(state(0), MemberState::up) << "there is no breaker";
  judge_.resume(*members_[0],
                {.times = 4'000'000'000, .since_us = never, .until_us = never, .reason = ""}, 5);
  EXPECT_EQ(state(0), MemberState::ejected);
  EXPECT_EQ(status(0).since_us, 5U);
  EXPECT_TRUE(run_until([&] { return state(0) == MemberState::up; })) << "after 60 ms";

  members_[1]->verdict = MemberState::down;
  members_[1]->publish();
  judge_.resume(*members_[1], {.until_us = never, .reason = "x"}, 5);
  EXPECT_EQ(state(1), MemberState::down) << "the probes know better";
  judge_.resume(*members_[2], {.until_us = never, .reason = "x"}, 5);
  EXPECT_EQ(state(2), MemberState::up) << "somebody has to be there";
  judge_.resume(Member("web", "nobody", net::Address()), {.until_us = never, .reason = "x"}, 5);
}

}  // namespace
}  // namespace portunus::health
