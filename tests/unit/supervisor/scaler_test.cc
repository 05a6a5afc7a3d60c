// Decisions in virtual time: a model of a service whose replicas take a while to start, under loads
// that stand still, jump and wander.
#include "supervisor/scaler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

namespace portunus::supervisor {
namespace {

using std::chrono_literals::operator""s;

conf::Scale by_requests(std::uint32_t target) {
  return {.in_flight = target, .up_after = 15s, .down_after = 60s};
}

conf::Scale by_cpu(std::uint32_t percent) {
  return {.cpu_percent = percent, .up_after = 15s, .down_after = 60s};
}

conf::Scale by_queue(std::uint32_t length) {
  return {.queue = length, .up_after = 15s, .down_after = 60s};
}

// A service in virtual time.
class World {
 public:
  World(const conf::Scale& settings, std::uint32_t min, std::uint32_t max, std::uint32_t now)
      : scaler(settings, min, max), replicas(now), serving_(now) {}

  // One interval further; `demand` is in CPUs or in requests.
  void step(double demand) {
    now_ms += scaler.interval_ms();
    if (now_ms >= start_done_ms_) serving_ = replicas;
    const double room = serving_ * capacity;
    const double busy = std::min(demand, room);
    ScaleSample sample{now_ms, replicas, serving_ > 0, std::nullopt, std::nullopt};
    sample.cpus = busy;
    sample.requests =
        RequestLoad{static_cast<std::uint32_t>(busy), static_cast<std::uint32_t>(demand - busy),
                    static_cast<std::uint32_t>(capacity)};
    if (is_blind) sample.cpus.reset();
    if (is_blind) sample.requests.reset();
    const auto decision = scaler.decide(sample);
    if (!decision) return;
    decisions.push_back(*decision);
    EXPECT_EQ(decision->from, replicas);
    EXPECT_NE(decision->to, replicas);
    replicas = decision->to;
    serving_ = std::min(serving_, replicas);
    start_done_ms_ = now_ms + start_ms;
  }
  void steps(double demand, std::uint64_t duration_ms) {
    for (const std::uint64_t end = now_ms + duration_ms; now_ms < end;)
      step(demand);
  }

  Scaler scaler;
  std::uint32_t replicas;
  std::uint64_t now_ms = 1'000'000;
  std::uint64_t start_ms = 5'000;
  double capacity = 1000;  // of a replica
  bool is_blind = false;
  std::vector<ScaleDecision> decisions;

 private:
  std::uint32_t serving_;
  std::uint64_t start_done_ms_ = 0;
};

TEST(Scaler, ALoadAboveTheTargetAddsWhatItTakes) {
  World world(by_requests(20), 1, 10, 3);
  world.steps(100, 14'000);
  EXPECT_TRUE(world.decisions.empty()) << "not before up_after";
  world.steps(100, 60'000);
  ASSERT_EQ(world.decisions.size(), 1U);
  EXPECT_EQ(world.decisions[0].from, 3U);
  EXPECT_EQ(world.decisions[0].to, 5U);
  EXPECT_EQ(world.decisions[0].signal, ScaleSignal::in_flight);
  EXPECT_NEAR(world.decisions[0].load, 100, 0.01);
  EXPECT_NEAR(world.decisions[0].target, 20, 0.01);
}

TEST(Scaler, WithinATenthOfTheTargetNothingHappens) {
  for (const double load : {56.0, 60.0, 65.9}) {
    World world(by_requests(20), 1, 10, 3);
    world.steps(load, 3'600'000);
    EXPECT_TRUE(world.decisions.empty()) << load;
  }
}

TEST(Scaler, AStepAtMostDoubles) {
  World world(by_requests(10), 1, 100, 1);
  world.steps(1000, 300'000);
  std::vector<std::uint32_t> steps;
  for (const ScaleDecision& decision : world.decisions)
    steps.push_back(decision.to);
  EXPECT_EQ(steps, (std::vector<std::uint32_t>{2, 4, 8, 16, 32, 64, 100}));
}

TEST(Scaler, OneBurstDoesNotScaleTwice) {
  World world(by_requests(20), 1, 100, 4);
  world.start_ms = 120'000;
  world.steps(150, 110'000);
  ASSERT_EQ(world.decisions.size(), 1U) << "those that start count";
  EXPECT_EQ(world.replicas, 8U);
}

TEST(Scaler, GoesDownOneByOneAfterTheCoolDown) {
  World world(by_requests(20), 2, 10, 6);
  world.steps(0, 14'000);
  world.steps(0, 61'000);
  EXPECT_EQ(world.replicas, 5U);
  const std::uint64_t first_ms = world.now_ms;
  world.steps(0, 54'000);
  EXPECT_EQ(world.replicas, 5U);
  world.steps(0, 600'000);
  EXPECT_EQ(world.replicas, 2U) << "not below the minimum";
  ASSERT_EQ(world.decisions.size(), 4U);
  EXPECT_GT(world.now_ms, first_ms);
}

TEST(Scaler, APeakBeginsTheCoolDownAnew) {
  World world(by_requests(20), 1, 10, 4);
  world.steps(10, 60'000);
  world.steps(79, 20'000);
  EXPECT_TRUE(world.decisions.empty());
  world.steps(10, 50'000);
  EXPECT_TRUE(world.decisions.empty()) << "a minute has not passed since the peak";
  world.steps(10, 30'000);
  EXPECT_EQ(world.replicas, 3U);
}

TEST(Scaler, DownOnlyWhenThoseLeftStayBelowTheTarget) {
  World stays(by_requests(20), 1, 10, 3);
  stays.steps(37, 3'600'000);
  EXPECT_EQ(stays.replicas, 3U) << "two would bear 18.5 each, more than 90 %";
  World goes(by_requests(20), 1, 10, 3);
  goes.steps(36, 3'600'000);
  EXPECT_EQ(goes.replicas, 2U);
}

TEST(Scaler, CpuOfBusyReplicasGrowsUntilTheyAreEnough) {
  World world(by_cpu(70), 1, 10, 1);
  world.capacity = 1;  // one thread each
  world.steps(3.4, 300'000);
  EXPECT_EQ(world.replicas, 5U) << "3.4 / 0.7";
  EXPECT_TRUE(std::ranges::all_of(world.decisions, &ScaleDecision::is_up));
  EXPECT_EQ(world.decisions.front().signal, ScaleSignal::cpu);
}

TEST(Scaler, AQueueAsksForAsManyAsHaveRoomForAll) {
  World world(by_queue(1), 1, 10, 2);
  world.capacity = 50;
  world.steps(100, 60'000);
  EXPECT_TRUE(world.decisions.empty()) << "nobody waits";
  world.steps(180, 120'000);
  EXPECT_EQ(world.replicas, 4U);
  EXPECT_EQ(world.decisions.front().signal, ScaleSignal::queue);
  world.steps(180, 600'000);
  EXPECT_EQ(world.replicas, 4U) << "three would have room for 150";
  world.steps(120, 600'000);
  EXPECT_EQ(world.replicas, 3U);
}

TEST(Scaler, WhoAsksForMostDecides) {
  conf::Scale scale = by_cpu(50);
  scale.in_flight = 10;
  Scaler scaler(scale, 1, 20);
  std::optional<ScaleDecision> decision;
  for (std::uint64_t now = 0; now <= 15'000 && !decision; now += 3'000)
    decision = scaler.decide({now, 4, true, 2.4, RequestLoad{70, 0, 100}});
  ASSERT_TRUE(decision);
  EXPECT_EQ(decision->signal, ScaleSignal::in_flight);
  EXPECT_EQ(decision->to, 7U);
}

TEST(Scaler, DownNeedsTheConsentOfAll) {
  conf::Scale scale = by_cpu(50);
  scale.in_flight = 10;
  Scaler scaler(scale, 1, 20);
  for (std::uint64_t now = 0; now <= 600'000; now += 3'000)
    EXPECT_FALSE(scaler.decide({now, 4, true, 0.1, RequestLoad{36, 0, 100}}));
}

TEST(Scaler, WithoutDataThereIsNoDecision) {
  World world(by_requests(20), 1, 10, 3);
  world.is_blind = true;
  world.steps(1000, 600'000);
  EXPECT_TRUE(world.decisions.empty());
  world.is_blind = false;
  world.steps(1000, 14'000);
  EXPECT_TRUE(world.decisions.empty()) << "it has to be seen for up_after";
  world.is_blind = true;
  world.step(1000);
  world.is_blind = false;
  world.steps(1000, 14'000);
  EXPECT_TRUE(world.decisions.empty()) << "and without a gap";
  world.steps(1000, 6'000);
  EXPECT_EQ(world.decisions.size(), 1U);
}

TEST(Scaler, WhenNobodyServesThereIsNoDecision) {
  Scaler scaler(by_requests(20), 1, 10);
  for (std::uint64_t now = 0; now <= 600'000; now += 3'000)
    EXPECT_FALSE(scaler.decide({now, 3, false, std::nullopt, RequestLoad{0, 900, 100}}));
}

TEST(Scaler, APersonHoldsItOff) {
  World world(by_requests(20), 1, 10, 3);
  world.scaler.hold_until(world.now_ms + 300'000);
  world.steps(1000, 296'000);
  EXPECT_TRUE(world.decisions.empty());
  world.steps(1000, 6'000);
  EXPECT_EQ(world.decisions.size(), 1U);
}

TEST(Scaler, AnotherNumberOfReplicasBeginsTheCoolDownAnew) {
  World world(by_requests(20), 1, 10, 4);
  world.steps(10, 70'000);
  world.replicas = 5;
  world.steps(10, 54'000);
  EXPECT_TRUE(world.decisions.empty());
  world.steps(10, 12'000);
  EXPECT_EQ(world.replicas, 4U);
}

TEST(Scaler, SaysWhenTheMaximumIsNotEnough) {
  World world(by_requests(20), 1, 3, 3);
  world.steps(100, 30'000);
  EXPECT_TRUE(world.scaler.is_short());
  world.steps(30, 30'000);
  EXPECT_FALSE(world.scaler.is_short());
  EXPECT_TRUE(world.decisions.empty());
}

TEST(Scaler, SamplesAreWantedSeldom) {
  conf::Scale scale = by_requests(1);
  EXPECT_EQ(Scaler(scale, 1, 2).interval_ms(), 3'000U);
  scale.up_after = 1s;
  EXPECT_EQ(Scaler(scale, 1, 2).interval_ms(), 1'000U);
  scale.up_after = 3600s;
  EXPECT_EQ(Scaler(scale, 1, 2).interval_ms(), 10'000U);
}

// Whatever the load does: within the bounds; and when it then stands still, it comes to rest at a
// number that bears it, going one way only.
TEST(Scaler, AnyLoadKeepsTheBoundsAndAConstantOneEndsInRest) {
  for (std::uint32_t seed = 0; seed < 300; ++seed) {
    std::mt19937 random(seed);
    const auto pick = [&](std::uint32_t least, std::uint32_t most) {
      return std::uniform_int_distribution<std::uint32_t>(least, most)(random);
    };
    conf::Scale scale{.up_after = std::chrono::seconds(pick(1, 30)),
                      .down_after = std::chrono::seconds(pick(1, 120))};
    const std::uint32_t kind = pick(0, 2);
    const std::uint32_t target = pick(1, 90);
    if (kind == 0) scale.cpu_percent = target;
    if (kind == 1) scale.in_flight = target;
    if (kind == 2) scale.queue = 1;
    const std::uint32_t min = pick(1, 5);
    const std::uint32_t max = min + pick(1, 30);
    World world(scale, min, max, pick(min, max));
    world.capacity = kind == 0 ? 1 : std::max(target + target / 5, target + 1);
    world.start_ms = pick(0, 60'000);
    const double all = kind == 0 ? max * 1.2 : max * world.capacity * 1.2;
    double demand = 0;
    for (int i = 0; i < 400; ++i) {
      if (pick(0, 9) == 0) demand = std::uniform_real_distribution(0.0, all)(random);
      world.is_blind = pick(0, 49) == 0;
      world.step(demand);
      ASSERT_GE(world.replicas, min) << seed;
      ASSERT_LE(world.replicas, max) << seed;
    }
    world.is_blind = false;
    world.steps(demand, 240'000);  // what is averaged still has forgotten the past
    world.decisions.clear();
    world.steps(demand, 10'000'000);
    const auto ups = std::ranges::count_if(world.decisions, &ScaleDecision::is_up);
    const auto all_steps = static_cast<std::ptrdiff_t>(world.decisions.size());
    ASSERT_TRUE(ups == 0 || ups == all_steps) << "seed " << seed << ": up and down at one load";
    world.decisions.clear();
    world.steps(demand, 1'000'000);
    ASSERT_TRUE(world.decisions.empty()) << "seed " << seed << ": no rest";
    const double bears = kind == 0 ? target / 100.0 : kind == 1 ? target : world.capacity;
    if (world.replicas < max) {
      ASSERT_LE(std::floor(demand * 100) / 100, world.replicas * bears * 1.1 + 1) << seed;
    }
    if (world.replicas > min) {
      ASSERT_GT(demand + 1, (world.replicas - 1) * bears * 0.9 - 1) << seed;
    }
  }
}

}  // namespace
}  // namespace portunus::supervisor
