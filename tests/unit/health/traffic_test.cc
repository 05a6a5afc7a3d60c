// What traffic says about members: the parts that know no loop, on a clock of the test.
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <random>

#include "conf/model_pools.h"
#include "health/breaker.h"
#include "health/conduct.h"
#include "health/ejection.h"
#include "health/member.h"
#include "health/suspension.h"
#include "health/traffic_window.h"

namespace portunus::health {
namespace {

using conf::FailureKind;
using Phase = Suspension::Phase;

constexpr TrafficCounts counts(std::uint64_t done, std::uint64_t failed, std::uint64_t slow = 0) {
  return {done, failed, slow};
}

// ---- the window ----

TEST(TrafficWindow, ForgetsWhatIsOlderThanItsLength) {
  TrafficWindow window;
  window.add(counts(10, 1), 50'000, 10'000);
  window.add(counts(5, 2), 58'500, 10'000);
  EXPECT_EQ(window.sum(), counts(15, 3));
  window.add({}, 59'999, 10'000);
  EXPECT_EQ(window.sum(), counts(15, 3));
  window.add({}, 60'000, 10'000);
  EXPECT_EQ(window.sum(), counts(5, 2)) << "the part of 50 s has gone";
  window.add({}, 3'600'000, 10'000);
  EXPECT_EQ(window.sum(), counts(0, 0));
}

// Against a list of all that was ever added.
TEST(TrafficWindow, IsTheSumOfItsLastTenParts) {
  std::minstd_rand random(7);
  struct Added {
    std::uint64_t part;
    TrafficCounts counts;
  };
  std::deque<Added> all;
  TrafficWindow window;
  std::uint64_t now_ms = 1'000'000;
  for (int i = 0; i < 5'000; ++i) {
    now_ms += random() % 700;
    const TrafficCounts added = counts(random() % 5, random() % 3, random() % 2);
    window.add(added, now_ms, 2'000);
    all.push_back({now_ms / 200, added});
    while (all.front().part + TrafficWindow::kParts <= now_ms / 200)
      all.pop_front();
    TrafficCounts expected;
    for (const Added& one : all)
      expected += one.counts;
    ASSERT_EQ(window.sum(), expected) << "step " << i;
  }
}

// ---- out, on trial, in ----

TEST(Suspension, GoesThroughItsTable) {
  Suspension one;
  EXPECT_FALSE(one.on_time(1'000, 3)) << "it is in";
  EXPECT_FALSE(one.on_good(1));
  one.put_out(1'000, 500);
  EXPECT_TRUE(one.is_out());
  one.put_out(1'200, 500);
  EXPECT_EQ(one.until_ms(), 1'500U) << "it is out already";
  EXPECT_FALSE(one.on_good(1)) << "an answer of before says nothing";
  EXPECT_FALSE(one.on_time(1'499, 3));
  EXPECT_TRUE(one.on_time(1'500, 3));
  EXPECT_TRUE(one.is_on_trial());
  EXPECT_FALSE(one.on_time(9'000, 3)) << "once";
  EXPECT_FALSE(one.on_good(2));
  EXPECT_EQ(one.trials_left(), 1U);
  one.put_out(2'000, 500);
  EXPECT_TRUE(one.is_out()) << "a trial has failed";
  EXPECT_TRUE(one.on_time(2'500, 3));
  EXPECT_TRUE(one.on_good(4));
  EXPECT_EQ(one.phase(), Phase::in);
  EXPECT_EQ(one.count(), 2U);
}

TEST(Suspension, TrialsThatLastTooLongAreStuck) {
  Suspension one;
  EXPECT_FALSE(one.is_stuck(1'000'000));
  one.put_out(0, 100);
  EXPECT_FALSE(one.is_stuck(1'000'000)) << "its time is over, and nobody has tried it";
  EXPECT_TRUE(one.on_time(100, 2));
  EXPECT_FALSE(one.is_stuck(100 + Suspension::kTrialMs - 1));
  EXPECT_TRUE(one.is_stuck(100 + Suspension::kTrialMs));
  EXPECT_FALSE(one.is_stuck(100 + Suspension::kTrialMs)) << "once in a while";
  EXPECT_TRUE(one.is_on_trial());
  EXPECT_EQ(one.trials_left(), 2U);
}

// Random events in any order, against the table written as a table.
TEST(Suspension, HoldsItsTableInAnyOrder) {
  std::minstd_rand random(11);
  for (int round = 0; round < 300; ++round) {
    Suspension one;
    Phase phase = Phase::in;
    std::uint64_t now_ms = 0;
    std::uint64_t until_ms = 0;
    std::uint32_t left = 0;
    for (int i = 0; i < 200; ++i) {
      now_ms += random() % 100;
      switch (random() % 4) {
        case 0:
          one.put_out(now_ms, 150);
          if (phase != Phase::out) until_ms = now_ms + 150;
          phase = Phase::out;
          break;
        case 1: {
          const bool is_over = phase == Phase::out && now_ms >= until_ms;
          ASSERT_EQ(one.on_time(now_ms, 3), is_over);
          if (is_over) phase = Phase::trial;
          if (is_over) left = 3;
          break;
        }
        case 2: {
          const auto good = static_cast<std::uint32_t>(random() % 3);
          const bool was_on_trial = phase == Phase::trial;
          if (was_on_trial) left -= std::min(left, good);
          const bool is_back = was_on_trial && left == 0;
          ASSERT_EQ(one.on_good(good), is_back);
          if (is_back) phase = Phase::in;
          break;
        }
        default:
          if (random() % 8 != 0) break;
          one.clear();
          phase = Phase::in;
      }
      ASSERT_EQ(one.phase(), phase) << "round " << round << ", step " << i;
    }
  }
}

// ---- ejection ----

TEST(Ejection, GrowsAndIsForgiven) {
  const conf::Passive rule;  // 30 s, at most 5 min
  Ejection one;
  std::uint64_t now_ms = 1'000'000;
  const auto serve_and_eject = [&](std::uint64_t well_ms) {
    now_ms += well_ms;
    const std::uint64_t for_ms = one.eject(rule, false, now_ms);
    now_ms += for_ms;
    EXPECT_TRUE(one.on_time(now_ms));
    EXPECT_TRUE(one.on_good(1, now_ms));
    return for_ms;
  };
  EXPECT_EQ(serve_and_eject(0), 30'000U);
  EXPECT_EQ(serve_and_eject(1'000), 60'000U);
  EXPECT_EQ(serve_and_eject(1'000), 90'000U);
  EXPECT_EQ(serve_and_eject(60'000), 60'000U) << "two good times long: 3 - 2 + 1";
  for (int i = 0; i < 20; ++i)
    serve_and_eject(0);
  EXPECT_EQ(serve_and_eject(0), 300'000U) << "no longer than max_eject_for";
  EXPECT_EQ(serve_and_eject(3'600'000), 30'000U);
}

TEST(Ejection, AFailedTrialMakesItLonger) {
  const conf::Passive rule;
  Ejection one;
  EXPECT_EQ(one.eject(rule, false, 0), 30'000U);
  EXPECT_TRUE(one.on_time(30'000));
  EXPECT_EQ(one.eject(rule, false, 200'000), 60'000U) << "time on trial is no good time";
}

TEST(Ejection, OfConnectionsLeavesItToTheProbes) {
  const conf::Passive rule;
  Ejection one;
  std::uint64_t now_ms = 0;
  for (const std::uint64_t expected : {1'000, 2'000, 4'000, 8'000, 16'000, 30'000, 30'000}) {
    EXPECT_EQ(one.eject(rule, true, now_ms), expected);
    now_ms += expected;
    EXPECT_TRUE(one.on_time(now_ms));
  }
}

TEST(Ejection, OutliersAreJudgedAgainstTheOthers) {
  conf::Passive rule;
  EXPECT_TRUE(is_outlier(rule, counts(100, 35), counts(100, 5)));
  EXPECT_FALSE(is_outlier(rule, counts(100, 34), counts(100, 5)));
  EXPECT_FALSE(is_outlier(rule, counts(100, 100), counts(100, 90))) << "they are all bad";
  EXPECT_FALSE(is_outlier(rule, counts(19, 19), counts(100, 0))) << "too few of its own";
  EXPECT_FALSE(is_outlier(rule, counts(20, 20), counts(19, 0))) << "too few of the others'";
  rule.excess_ratio = 0;
  EXPECT_FALSE(is_outlier(rule, counts(100, 100), counts(100, 0))) << "not looked at";
}

// ---- the breaker ----

TEST(Breaker, OpensByWhatIsWatched) {
  conf::CircuitBreaker rule;  // half of at least 20
  EXPECT_EQ(look_at(rule, counts(20, 10), 1), BreakerTrip::failure_ratio);
  EXPECT_EQ(look_at(rule, counts(20, 9), 9), BreakerTrip::none);
  EXPECT_EQ(look_at(rule, counts(19, 19), 19), BreakerTrip::none);
  EXPECT_EQ(look_at(rule, counts(1'000, 0, 1'000), 0), BreakerTrip::none);
  rule.consecutive_failures = 4;
  EXPECT_EQ(look_at(rule, counts(4, 4), 4), BreakerTrip::consecutive_failures);
  EXPECT_EQ(look_at(rule, counts(4, 3), 3), BreakerTrip::none);
  rule.latency_p99 = conf::Milliseconds{100};
  EXPECT_EQ(look_at(rule, counts(99, 0, 99), 0), BreakerTrip::none) << "too few to say";
  EXPECT_EQ(look_at(rule, counts(200, 0, 2), 0), BreakerTrip::none);
  EXPECT_EQ(look_at(rule, counts(200, 0, 3), 0), BreakerTrip::latency);
  rule.failure_ratio = 0;
  EXPECT_EQ(look_at(rule, counts(20, 20), 0), BreakerTrip::none) << "not looked at";
}

// ---- what data-plane threads count ----

TEST(Conduct, AGoodAnswerWritesNothingWhileAllIsWell) {
  const conf::Pool pool;
  Conduct conduct;
  EXPECT_FALSE(conduct.note({}, pool));
  EXPECT_EQ(conduct.done.load(), 0U);
  EXPECT_TRUE(conduct.note({.is_failure = true, .kind = FailureKind::timeout}, pool)) << "news";
  EXPECT_FALSE(conduct.note({.is_failure = true}, pool)) << "known, and no row yet";
  EXPECT_EQ(conduct.failures_in_row.load(), 2U);
  EXPECT_FALSE(conduct.note({}, pool));
  EXPECT_EQ(conduct.failures_in_row.load(), 0U);
  EXPECT_EQ(conduct.done.load(), 3U) << "all are counted from the first failure on";
  EXPECT_EQ(conduct.failed.load(), 2U);
}

TEST(Conduct, ARowIsNewsAgainAndAgain) {
  const conf::Pool pool;  // five in a row
  Conduct conduct;
  conduct.is_watched = true;
  std::string news;
  for (int i = 0; i < 12; ++i)
    news += conduct.note({.is_failure = true}, pool) ? 'x' : '.';
  EXPECT_EQ(news, "....x....x..");
  EXPECT_FALSE(conduct.note({.is_slow = true}, pool));
  EXPECT_EQ(conduct.failures_in_row.load(), 0U) << "slow is no failure";
  EXPECT_EQ(conduct.slow.load(), 1U);
}

TEST(Conduct, EachTrialIsNews) {
  const conf::Pool pool;
  Conduct conduct;
  conduct.is_watched = true;
  EXPECT_TRUE(conduct.note({.is_trial = true}, pool));
  EXPECT_TRUE(conduct.note({.is_failure = true, .is_trial = true}, pool));
  EXPECT_EQ(conduct.trials_good.load(), 1U);
  EXPECT_EQ(conduct.trials_bad.load(), 1U);
}

TEST(Trials, AreTakenAndGivenBack) {
  Trials trials;
  EXPECT_TRUE(trials.is_any_left());
  EXPECT_FALSE(trials.is_limited());
  trials.set(2);
  EXPECT_TRUE(trials.take());
  EXPECT_TRUE(trials.take());
  EXPECT_FALSE(trials.is_any_left());
  EXPECT_FALSE(trials.take());
  trials.give();
  EXPECT_TRUE(trials.take()) << "the one that was refused has left no mark";
  EXPECT_FALSE(trials.take());
  trials.set(Trials::kNoLimit);
  trials.give();
  EXPECT_FALSE(trials.is_limited()) << "no overflow";
}

TEST(FailureRule, KnowsItsStatuses) {
  const conf::FailureRule rule;
  for (const int status : {200, 404, 499, 500, 501, 505, 599, 600, 999})
    EXPECT_FALSE(rule.counts(static_cast<std::uint16_t>(status))) << status;
  for (const int status : {502, 503, 504})
    EXPECT_TRUE(rule.counts(static_cast<std::uint16_t>(status))) << status;
}

}  // namespace
}  // namespace portunus::health
