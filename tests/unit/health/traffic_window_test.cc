// How many requests have ended within a window, on a clock of the test.
#include "health/traffic_window.h"

#include <gtest/gtest.h>

#include <deque>
#include <random>

namespace portunus::health {
namespace {

TEST(TrafficWindow, ForgetsWhatIsOlderThanItsLength) {
  TrafficWindow window;
  window.add(TrafficCounts(10, 1), 50'000, 10'000);
  window.add(TrafficCounts(5, 2), 58'500, 10'000);
  EXPECT_EQ(window.sum(), TrafficCounts(15, 3));
  window.add({}, 59'999, 10'000);
  EXPECT_EQ(window.sum(), TrafficCounts(15, 3));
  window.add({}, 60'000, 10'000);
  EXPECT_EQ(window.sum(), TrafficCounts(5, 2)) << "the part of 50 s has gone";
  window.add({}, 3'600'000, 10'000);
  EXPECT_EQ(window.sum(), TrafficCounts(0, 0));
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
    const TrafficCounts added = TrafficCounts(random() % 5, random() % 3, random() % 2);
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

}  // namespace
}  // namespace portunus::health
