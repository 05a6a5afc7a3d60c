// Out, on trial and back in, on a clock of the test.
#include "health/suspension.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace portunus::health {
namespace {

using Phase = Suspension::Phase;

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

}  // namespace
}  // namespace portunus::health
