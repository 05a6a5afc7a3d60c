#include "supervisor/backoff.h"

#include <gtest/gtest.h>

#include <deque>
#include <limits>

namespace portunus::supervisor {
namespace {

constexpr double kMiddle = 0.5;  // no jitter

TEST(BackoffTest, DoublesBetweenItsEnds) {
  EXPECT_EQ(backoff_ms(0, 1'000, 60'000, kMiddle), 0U);
  EXPECT_EQ(backoff_ms(1, 1'000, 60'000, kMiddle), 1'000U);
  EXPECT_EQ(backoff_ms(2, 1'000, 60'000, kMiddle), 2'000U);
  EXPECT_EQ(backoff_ms(3, 1'000, 60'000, kMiddle), 4'000U);
  EXPECT_EQ(backoff_ms(6, 1'000, 60'000, kMiddle), 32'000U);
  EXPECT_EQ(backoff_ms(7, 1'000, 60'000, kMiddle), 60'000U);
  EXPECT_EQ(backoff_ms(8, 1'000, 60'000, kMiddle), 60'000U);
}

TEST(BackoffTest, JitterIsAFifthToBothSidesAndStaysBelowTheMost) {
  EXPECT_EQ(backoff_ms(1, 1'000, 60'000, 0), 800U);
  EXPECT_NEAR(static_cast<double>(backoff_ms(1, 1'000, 60'000, 0.999'999)), 1'200, 1);
  EXPECT_EQ(backoff_ms(9, 1'000, 60'000, 0), 48'000U);
  EXPECT_EQ(backoff_ms(9, 1'000, 60'000, 0.999'999), 60'000U);
}

TEST(BackoffTest, ExtremesNeitherWrapNorTakeLong) {
  constexpr auto kMost = std::numeric_limits<std::uint32_t>::max();
  EXPECT_EQ(backoff_ms(kMost, 1, 60'000, kMiddle), 60'000U);
  EXPECT_EQ(backoff_ms(kMost, 0, 60'000, kMiddle), 0U);
  EXPECT_EQ(backoff_ms(kMost, 0, 0, kMiddle), 0U);
  EXPECT_EQ(backoff_ms(1, 5'000, 1'000, kMiddle), 1'000U);
  constexpr std::uint64_t kHuge = std::uint64_t{1} << 52U;
  EXPECT_EQ(backoff_ms(kMost, kHuge - 1, kHuge, kMiddle), kHuge);
}

TEST(StormGuardTest, NoMoreThanSoManyInAWindow) {
  StormGuard guard(3, 1'000);
  for (const std::uint64_t now : {10U, 20U, 30U}) {
    EXPECT_EQ(guard.next_allowed(now), now);
    EXPECT_TRUE(guard.is_allowed(now));
    guard.add(now);
  }
  EXPECT_FALSE(guard.is_allowed(40));
  EXPECT_EQ(guard.next_allowed(40), 1'010U);
  EXPECT_EQ(guard.next_allowed(1'009), 1'010U);
  EXPECT_EQ(guard.next_allowed(1'010), 1'010U);
  EXPECT_EQ(guard.in_window(1'009), 3U);
  EXPECT_EQ(guard.in_window(1'010), 2U);
  guard.add(1'010);
  EXPECT_EQ(guard.next_allowed(1'011), 1'020U);
  EXPECT_EQ(guard.in_window(5'000), 0U);
  guard.clear();
  EXPECT_TRUE(guard.is_allowed(1'012));
}

TEST(StormGuardTest, StartAgainstTheRuleCountsToo) {
  StormGuard guard(1, 1'000);
  guard.add(0);
  guard.add(500);
  EXPECT_EQ(guard.next_allowed(1'000), 1'500U);
}

TEST(StormGuardTest, NoneMeansNoGuard) {
  StormGuard guard(0, 1'000);
  for (int i = 0; i < 5; ++i)
    guard.add(7);
  EXPECT_TRUE(guard.is_allowed(7));
  EXPECT_EQ(guard.in_window(7), 0U);
}

// Whoever starts as soon as it is allowed never has more in any window than the guard says.
TEST(StormGuardTest, HoldsInEveryWindow) {
  constexpr std::uint64_t kWindow = 97;
  StormGuard guard(5, kWindow);
  std::deque<std::uint64_t> starts;
  std::uint64_t now = 0;
  for (int i = 0; i < 1'000; ++i) {
    now = guard.next_allowed(now + static_cast<std::uint64_t>(i * i % 13));
    guard.add(now);
    starts.push_back(now);
    while (starts.front() + kWindow <= now)
      starts.pop_front();
    ASSERT_LE(starts.size(), 5U);
    ASSERT_EQ(guard.in_window(now), starts.size());
  }
}

}  // namespace
}  // namespace portunus::supervisor
