#include "net/timer_wheel.h"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <vector>

namespace portunus::net {
namespace {

// A deadline that notes when it fired.
struct Alarm {
  explicit Alarm(std::uint64_t& clock)
      : now(clock), deadline(this, [](void* self) { static_cast<Alarm*>(self)->fire(); }) {}
  void fire() {
    fired.push_back(now);
    if (then) then();
  }
  std::uint64_t& now;
  std::vector<std::uint64_t> fired;
  std::function<void()> then;
  Deadline deadline;
};

class TimerWheelTest : public testing::Test {
 protected:
  void run_to(std::uint64_t end, std::uint64_t step = 100) {
    while (now_ < end) {
      now_ = std::min(end, now_ + step);
      wheel_.advance(now_);
    }
  }
  std::uint64_t now_ = 123'456;
  TimerWheel wheel_{123'456};
};

// For every delay, also beyond one round of the wheel: not early, at most a slot late.
TEST_F(TimerWheelTest, FiresInTime) {
  const std::uint64_t delays[] = {0,      1,       99,      100,     101,      1'000,
                                  60'000, 102'300, 102'400, 102'500, 3'600'000};
  std::vector<std::unique_ptr<Alarm>> alarms;
  const std::uint64_t began = now_;
  for (const std::uint64_t delay : delays) {
    alarms.push_back(std::make_unique<Alarm>(now_));
    wheel_.arm(alarms.back()->deadline, delay);
    EXPECT_TRUE(alarms.back()->deadline.is_armed());
  }
  run_to(began + 3'700'000, 50);
  for (std::size_t i = 0; i < alarms.size(); ++i) {
    ASSERT_EQ(alarms[i]->fired.size(), 1U) << delays[i];
    EXPECT_GE(alarms[i]->fired[0], began + delays[i]) << delays[i];
    EXPECT_LE(alarms[i]->fired[0], began + delays[i] + 200) << delays[i];
    EXPECT_FALSE(alarms[i]->deadline.is_armed());
  }
}

TEST_F(TimerWheelTest, MovesLaterAndEarlier) {
  Alarm later(now_);
  Alarm earlier(now_);
  const std::uint64_t began = now_;
  wheel_.arm(later.deadline, 1'000);
  wheel_.arm(earlier.deadline, 60'000);
  for (int i = 0; i < 50; ++i) {  // renewed again and again
    run_to(now_ + 200);
    wheel_.arm(later.deadline, 1'000);
  }
  EXPECT_TRUE(later.fired.empty());
  wheel_.arm(earlier.deadline, 300);
  const std::uint64_t rearmed = now_;
  run_to(began + 120'000);
  ASSERT_EQ(later.fired.size(), 1U);
  EXPECT_GE(later.fired[0], rearmed + 1'000);
  EXPECT_LE(later.fired[0], rearmed + 1'200);
  ASSERT_EQ(earlier.fired.size(), 1U);
  EXPECT_GE(earlier.fired[0], rearmed + 300);
  EXPECT_LE(earlier.fired[0], rearmed + 500);
}

TEST_F(TimerWheelTest, DisarmedOnesStaySilent) {
  Alarm alarm(now_);
  wheel_.arm(alarm.deadline, 500);
  alarm.deadline.disarm();
  EXPECT_FALSE(alarm.deadline.is_armed());
  run_to(now_ + 2'000);
  EXPECT_TRUE(alarm.fired.empty());
  wheel_.arm(alarm.deadline, 500);  // and can be armed again
  alarm.deadline.disarm();
  wheel_.arm(alarm.deadline, 700);
  run_to(now_ + 2'000);
  EXPECT_EQ(alarm.fired.size(), 1U);
}

TEST_F(TimerWheelTest, HandlersMayArmDisarmAndDestroy) {
  Alarm again(now_);
  again.then = [&] {
    if (again.fired.size() < 3) wheel_.arm(again.deadline, 0);
  };
  wheel_.arm(again.deadline, 100);
  auto victim = std::make_unique<Alarm>(now_);
  Alarm sleeper(now_);
  Alarm killer(now_);
  killer.then = [&] {
    victim.reset();
    sleeper.deadline.disarm();
  };
  wheel_.arm(killer.deadline, 100);
  wheel_.arm(victim->deadline, 100);
  wheel_.arm(sleeper.deadline, 100);
  run_to(now_ + 1'000);
  EXPECT_EQ(again.fired.size(), 3U);
  EXPECT_EQ(killer.fired.size(), 1U);
  EXPECT_EQ(victim, nullptr);
  EXPECT_TRUE(sleeper.fired.empty());
}

// A process that was stopped for an hour fires everything once when it goes on.
TEST_F(TimerWheelTest, ALongPause) {
  std::vector<std::unique_ptr<Alarm>> alarms;
  for (std::uint64_t delay = 0; delay < 200'000; delay += 777) {
    alarms.push_back(std::make_unique<Alarm>(now_));
    wheel_.arm(alarms.back()->deadline, delay);
  }
  now_ += 3'600'000;
  wheel_.advance(now_);
  for (const auto& alarm : alarms)
    ASSERT_EQ(alarm->fired.size(), 1U);
  Alarm next(now_);
  wheel_.arm(next.deadline, 100);
  run_to(now_ + 300);
  EXPECT_EQ(next.fired.size(), 1U);
}

}  // namespace
}  // namespace portunus::net
