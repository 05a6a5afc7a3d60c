// When members are ejected and for how long, on a clock of the test.
#include "health/ejection.h"

#include <gtest/gtest.h>

namespace portunus::health {
namespace {

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
  EXPECT_TRUE(is_outlier(rule, TrafficCounts(100, 35), TrafficCounts(100, 5)));
  EXPECT_FALSE(is_outlier(rule, TrafficCounts(100, 34), TrafficCounts(100, 5)));
  EXPECT_FALSE(is_outlier(rule, TrafficCounts(100, 100), TrafficCounts(100, 90)))
      << "they are all bad";
  EXPECT_FALSE(is_outlier(rule, TrafficCounts(19, 19), TrafficCounts(100, 0)))
      << "too few of its own";
  EXPECT_FALSE(is_outlier(rule, TrafficCounts(20, 20), TrafficCounts(19, 0)))
      << "too few of the others'";
  rule.excess_ratio = 0;
  EXPECT_FALSE(is_outlier(rule, TrafficCounts(100, 100), TrafficCounts(100, 0))) << "not looked at";
}

}  // namespace
}  // namespace portunus::health
