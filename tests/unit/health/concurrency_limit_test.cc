// The limit that is found out, against members whose capacity is known.
#include "health/concurrency_limit.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

namespace portunus::health {
namespace {

constexpr std::uint64_t kStepMs = 10;

conf::AdaptiveLimit rule_of(std::uint32_t initial, std::uint32_t min, std::uint32_t max) {
  conf::AdaptiveLimit rule;
  rule.is_on = true;
  rule.initial = initial;
  rule.min = min;
  rule.max = max;
  return rule;
}

// Members that work on so many requests at a time, each for so long, first come first served; and
// clients that always have so many requests to send. In steps of a millisecond.
class Simulation {
 public:
  Simulation(const conf::AdaptiveLimit& rule, std::size_t workers, std::uint64_t service_ms)
      : limit_(rule), workers_(workers), service_ms_(service_ms) {}

  void run(std::uint64_t milliseconds, std::size_t offered) {
    for (const std::uint64_t end = now_ms_ + milliseconds; now_ms_ < end; ++now_ms_) {
      finish();
      while (sent_.size() < offered) {
        if (sent_.size() >= limit_.limit()) {
          ++seen_.held_back;
          break;
        }
        sent_.push_back({now_ms_, 0});
      }
      begin();
      seen_.in_flight = static_cast<std::uint32_t>(sent_.size());
      lowest_ = std::min(lowest_, limit_.limit());
      if (now_ms_ % kStepMs == 0) limit_.step(seen_, now_ms_);
    }
  }
  void set_service(std::uint64_t milliseconds) { service_ms_ = milliseconds; }
  void forget_lowest() { lowest_ = ~std::uint32_t{0}; }

  [[nodiscard]] const ConcurrencyLimit& limit() const { return limit_; }
  [[nodiscard]] std::uint64_t answers() const { return seen_.answers; }
  [[nodiscard]] double alone_ms() const { return static_cast<double>(limit_.alone_ns()) / 1e6; }
  [[nodiscard]] std::uint32_t lowest() const { return lowest_; }

 private:
  struct Request {
    std::uint64_t sent_ms;
    std::uint64_t done_ms;  // 0 = not begun
  };

  void finish() {
    std::erase_if(sent_, [this](const Request& each) {
      if (each.done_ms == 0 || each.done_ms > now_ms_) return false;
      ++seen_.answers;
      seen_.latency_ns += (now_ms_ - each.sent_ms) * 1'000'000;
      --busy_;
      return true;
    });
  }
  void begin() {
    for (Request& each : sent_) {
      if (busy_ >= workers_) return;
      if (each.done_ms != 0) continue;
      // A quarter to either side, the same in each run.
      noise_ = noise_ * 1'103'515'245 + 12'345;
      const std::uint64_t spread = service_ms_ / 2;
      each.done_ms = now_ms_ + service_ms_ - spread / 2 + (noise_ >> 16) % (spread + 1);
      ++busy_;
    }
  }

  ConcurrencyLimit limit_;
  ConcurrencyLimit::Seen seen_;
  std::size_t workers_;
  std::uint64_t service_ms_;
  std::deque<Request> sent_;
  std::size_t busy_ = 0;
  std::uint64_t now_ms_ = 1;
  std::uint32_t noise_ = 1;
  std::uint32_t lowest_ = ~std::uint32_t{0};
};

TEST(ConcurrencyLimit, SettlesNearWhatTheMembersCanDo) {
  for (const std::size_t workers : {1, 4, 10, 50}) {
    SCOPED_TRACE(workers);
    Simulation world(rule_of(20, 1, 1'000), workers, 20);
    world.run(120'000, 500);
    EXPECT_GE(world.limit().limit(), workers);
    EXPECT_LE(world.limit().limit(), 4 * workers + 4);
    EXPECT_TRUE(world.limit().is_throttling());

    // And keeps them busy: nine tenths of what they could do at the very least.
    const std::uint64_t before = world.answers();
    world.run(60'000, 500);
    EXPECT_GE(world.answers() - before, workers * (60'000 / 20) * 9 / 10);
  }
}

TEST(ConcurrencyLimit, FindsMoreThanItBeganWith) {
  Simulation world(rule_of(5, 1, 1'000), 100, 20);
  world.run(60'000, 500);
  EXPECT_GE(world.limit().limit(), 90U);
}

TEST(ConcurrencyLimit, FollowsMembersThatHaveBecomeSlower) {
  Simulation world(rule_of(20, 1, 1'000), 20, 20);
  world.run(120'000, 500);
  world.set_service(60);
  world.run(120'000, 500);
  EXPECT_GE(world.alone_ms(), 50);
  EXPECT_LE(world.alone_ms(), 110);
  EXPECT_GE(world.limit().limit(), 20U);
  EXPECT_LE(world.limit().limit(), 84U);

  world.set_service(20);
  world.run(120'000, 500);
  EXPECT_LE(world.alone_ms(), 40);
  EXPECT_LE(world.limit().limit(), 84U);
}

TEST(ConcurrencyLimit, StaysWhenItIsNotUsed) {
  Simulation world(rule_of(20, 1, 1'000), 100, 20);
  world.run(60'000, 8);  // answers are as fast as can be, and there is nothing to learn
  EXPECT_EQ(world.limit().limit(), 20U);
  EXPECT_EQ(world.lowest(), 20U);
  EXPECT_FALSE(world.limit().is_throttling());
}

TEST(ConcurrencyLimit, WhileAnswersAreFastItDoesNotProbe) {
  Simulation world(rule_of(20, 1, 100), 200, 20);
  world.run(60'000, 500);
  ASSERT_EQ(world.limit().limit(), 100U);
  world.forget_lowest();
  world.run(300'000, 500);
  EXPECT_EQ(world.lowest(), 100U);
}

TEST(ConcurrencyLimit, KeepsToItsBounds) {
  Simulation narrow(rule_of(20, 10, 30), 1, 20);
  narrow.run(120'000, 500);
  EXPECT_EQ(narrow.lowest(), 10U);  // also while probing
  EXPECT_LE(narrow.limit().limit(), 30U);

  Simulation wide(rule_of(20, 10, 30), 100, 20);
  wide.run(120'000, 500);
  EXPECT_EQ(wide.limit().limit(), 30U);
}

TEST(ConcurrencyLimit, AnotherRuleKeepsWhatIsKnown) {
  Simulation world(rule_of(20, 1, 1'000), 50, 20);
  world.run(60'000, 500);
  ConcurrencyLimit limit = world.limit();
  const std::uint32_t before = limit.limit();
  limit.configure(rule_of(20, 1, 2'000));
  EXPECT_EQ(limit.limit(), before);
  limit.configure(rule_of(5, 1, 10));
  EXPECT_EQ(limit.limit(), 10U);
}

// A crowd from the first moment on: that its answers do not become slower says nothing.
TEST(ConcurrencyLimit, LooksForWhatItHasNeverSeen) {
  Simulation world(rule_of(24, 1, 24), 1, 20);
  world.run(120'000, 40);
  EXPECT_LE(world.limit().limit(), 8U);
}

// So that nothing is concluded from one slow answer.
TEST(ConcurrencyLimit, WaitsForEnoughAnswers) {
  ConcurrencyLimit limit(rule_of(20, 1, 1'000));
  ConcurrencyLimit::Seen seen;
  limit.step(seen, 1'000);
  seen = {.answers = ConcurrencyLimit::kAnswersMin - 1, .latency_ns = 900'000'000, .in_flight = 2};
  limit.step(seen, 1'000 + ConcurrencyLimit::kWindowMs);
  EXPECT_EQ(limit.latency_ns(), 0U);
  ++seen.answers;
  limit.step(seen, 1'000 + ConcurrencyLimit::kWindowMs);
  EXPECT_EQ(limit.latency_ns(), 90'000'000U);
  EXPECT_EQ(limit.limit(), 20U);

  seen.answers += ConcurrencyLimit::kAnswersMin;
  seen.latency_ns += 900'000'000;
  ++seen.held_back;
  limit.step(seen, 1'000 + 2 * ConcurrencyLimit::kWindowMs);
  EXPECT_EQ(limit.limit(), 24U);  // 20 and its square root
}

// Nobody answers at all: what is known is kept, and requests are let through again.
TEST(ConcurrencyLimit, GivesUpAProbeThatNobodyAnswers) {
  ConcurrencyLimit limit(rule_of(40, 1, 1'000));
  ConcurrencyLimit::Seen seen{.in_flight = 1};
  std::uint64_t now_ms = 1'000;
  const auto pass = [&](std::uint64_t answers, std::uint64_t each_ms) {
    now_ms += ConcurrencyLimit::kWindowMs;
    seen.answers += answers;
    seen.latency_ns += answers * each_ms * 1'000'000;
    ++seen.held_back;
    limit.step(seen, now_ms);
  };
  limit.step(seen, now_ms);
  pass(20, 10);
  seen.in_flight = 40;
  pass(20, 10);
  const std::uint32_t before = limit.limit();
  pass(20, 100);
  ASSERT_EQ(limit.limit(), before / 4);
  pass(0, 0);
  EXPECT_EQ(limit.limit(), before / 4);
  for (int i = 0; i < 4; ++i)
    pass(0, 0);
  EXPECT_EQ(limit.limit(), before);
  EXPECT_EQ(limit.alone_ns(), 10'000'000U);
}

}  // namespace
}  // namespace portunus::health
