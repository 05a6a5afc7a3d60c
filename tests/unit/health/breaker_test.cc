// When a circuit breaker opens.
#include "health/breaker.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

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

// Window, rule and phases together, as the judge uses them, in random orders of events: against a model that
// remembers every request and adds up those that count each time.
class RandomBreaker {
 public:
  explicit RandomBreaker(unsigned seed) : random_(seed) {
    rule_.window = conf::Milliseconds{1'000 * (1 + below(20))};
    rule_.min_requests = 1 + below(30);
    rule_.failure_ratio = static_cast<double>(1 + below(100)) / 100;
    rule_.consecutive_failures = below(3) == 0 ? 3 + below(10) : 0;
    rule_.latency_p99 = conf::Milliseconds{below(2) * 100};
    rule_.half_open_requests = 1 + below(4);
    rule_.open_for = conf::Milliseconds{500 + below(5'000)};
  }
  void step() {
    now_ms_ += below(4) == 0 ? below(3'000) : below(20);
    const auto open_ms = static_cast<std::uint64_t>(rule_.open_for.count());
    const bool is_over = phase_ == Suspension::Phase::out && now_ms_ >= until_ms_;
    ASSERT_EQ(breaker_.on_time(now_ms_, rule_.half_open_requests), is_over);
    if (is_over) {
      phase_ = Suspension::Phase::trial;
      left_ = rule_.half_open_requests;
    }
    const bool fails = below(100) < badness_;
    if (below(50) == 0) badness_ = below(100);
    if (phase_ == Suspension::Phase::trial) {
      try_it(fails, open_ms);
    } else if (phase_ == Suspension::Phase::in) {
      serve(fails, below(40) == 0, open_ms);
    }
    ASSERT_EQ(breaker_.phase(), phase_);
    ASSERT_EQ(breaker_.count(), opened_);
  }
  [[nodiscard]] std::uint64_t opened() const { return opened_; }
  [[nodiscard]] std::uint64_t closed() const { return closed_; }

 private:
  struct Request {
    std::uint64_t part;
    bool is_failure;
    bool is_slow;
  };

  std::uint32_t below(std::uint32_t bound) { return static_cast<std::uint32_t>(random_() % bound); }
  void open(std::uint64_t open_ms) {
    breaker_.put_out(now_ms_, open_ms);
    phase_ = Suspension::Phase::out;
    until_ms_ = now_ms_ + open_ms;
    ++opened_;
  }
  void try_it(bool fails, std::uint64_t open_ms) {
    if (fails) {
      open(open_ms);
      return;
    }
    const bool is_closed = --left_ == 0;
    ASSERT_EQ(breaker_.on_good(1), is_closed);
    if (!is_closed) return;
    phase_ = Suspension::Phase::in;
    ++closed_;
    window_.clear();
    requests_.clear();
    row_ = 0;
  }
  void serve(bool fails, bool is_slow, std::uint64_t open_ms) {
    const auto length_ms = static_cast<std::uint64_t>(rule_.window.count());
    const std::uint64_t part = now_ms_ / (length_ms / TrafficWindow::kParts);
    row_ = fails ? row_ + 1 : 0;
    window_.add({1, fails ? 1U : 0U, is_slow ? 1U : 0U}, now_ms_, length_ms);
    requests_.push_back({part, fails, is_slow});
    TrafficCounts counts;
    for (const Request& each : requests_) {
      if (each.part + TrafficWindow::kParts > part)
        counts += {1, each.is_failure ? 1U : 0U, each.is_slow ? 1U : 0U};
    }
    ASSERT_EQ(window_.sum(), counts);
    const bool is_by_row = rule_.consecutive_failures != 0 && row_ >= rule_.consecutive_failures;
    const bool is_by_ratio = counts.done >= rule_.min_requests &&
                             static_cast<double>(counts.failed) >=
                                 rule_.failure_ratio * static_cast<double>(counts.done);
    const bool is_by_latency = rule_.latency_p99.count() > 0 && counts.done >= rule_.min_requests &&
                               counts.done >= 100 && counts.slow * 100 > counts.done;
    const BreakerTrip trip = look_at(rule_, window_.sum(), row_);
    ASSERT_EQ(trip != BreakerTrip::none, is_by_row || is_by_ratio || is_by_latency);
    if (trip != BreakerTrip::none) open(open_ms);
  }

  std::minstd_rand random_;
  conf::CircuitBreaker rule_;
  Suspension breaker_;
  TrafficWindow window_;
  // The model.
  Suspension::Phase phase_ = Suspension::Phase::in;
  std::vector<Request> requests_;
  std::uint64_t now_ms_ = 1'000'000;
  std::uint64_t until_ms_ = 0;
  std::uint64_t opened_ = 0;
  std::uint64_t closed_ = 0;
  std::uint32_t row_ = 0;
  std::uint32_t left_ = 0;
  unsigned badness_ = 10;  // % of requests that fail
};

TEST(Breaker, DoesAsAModelInRandomOrders) {
  std::uint64_t opened = 0;
  std::uint64_t closed = 0;
  for (unsigned seed = 1; seed <= 100; ++seed) {
    RandomBreaker one(seed);
    for (int i = 0; i < 1'000 && !testing::Test::HasFatalFailure(); ++i)
      one.step();
    ASSERT_FALSE(testing::Test::HasFatalFailure()) << "seed " << seed;
    opened += one.opened();
    closed += one.closed();
  }
  EXPECT_GT(opened, 1'000U) << "else nothing has been looked at";
  EXPECT_GT(closed, 100U);
}

}  // namespace
}  // namespace portunus::health
