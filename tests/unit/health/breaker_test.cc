// When a circuit breaker opens.
#include "health/breaker.h"

#include <gtest/gtest.h>

namespace portunus::health {
namespace {

TEST(Breaker, OpensByWhatIsWatched) {
  conf::CircuitBreaker rule;  // half of at least 20
  EXPECT_EQ(look_at(rule, TrafficCounts(20, 10), 1), BreakerTrip::failure_ratio);
  EXPECT_EQ(look_at(rule, TrafficCounts(20, 9), 9), BreakerTrip::none);
  EXPECT_EQ(look_at(rule, TrafficCounts(19, 19), 19), BreakerTrip::none);
  EXPECT_EQ(look_at(rule, TrafficCounts(1'000, 0, 1'000), 0), BreakerTrip::none);
  rule.consecutive_failures = 4;
  EXPECT_EQ(look_at(rule, TrafficCounts(4, 4), 4), BreakerTrip::consecutive_failures);
  EXPECT_EQ(look_at(rule, TrafficCounts(4, 3), 3), BreakerTrip::none);
  rule.latency_p99 = conf::Milliseconds{100};
  EXPECT_EQ(look_at(rule, TrafficCounts(99, 0, 99), 0), BreakerTrip::none) << "too few to say";
  EXPECT_EQ(look_at(rule, TrafficCounts(200, 0, 2), 0), BreakerTrip::none);
  EXPECT_EQ(look_at(rule, TrafficCounts(200, 0, 3), 0), BreakerTrip::latency);
  rule.failure_ratio = 0;
  EXPECT_EQ(look_at(rule, TrafficCounts(20, 20), 0), BreakerTrip::none) << "not looked at";
}

}  // namespace
}  // namespace portunus::health
