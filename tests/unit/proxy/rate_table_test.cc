// RateTable on a clock of the test's own: against a simple model in random orders, at its edges, and
// with several threads.
#include "proxy/rate_table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <random>
#include <thread>
#include <vector>

#include "base/hash.h"

namespace portunus::proxy {
namespace {

constexpr std::uint64_t kMsNs = 1'000'000;
constexpr std::uint64_t kSecondNs = 1000 * kMsNs;
constexpr std::uint64_t kHourNs = 3600 * kSecondNs;
constexpr std::uint64_t kStart = 12'345 * kSecondNs;

// Its set is the one of the lowest bits, its tag is `tag`.
std::uint64_t key_of(std::uint64_t tag, std::uint64_t set) {
  return tag << 44 | set;
}

TEST(RateTable, ABurstAndThenEvenly) {
  RateTable table({.requests = 10, .per_ns = kSecondNs, .burst = 3, .keys = 1000});
  const std::uint64_t key = key_of(7, 3);
  for (std::uint64_t left = 3; left-- > 0;) {
    const auto verdict = table.take(key, kStart);
    ASSERT_TRUE(verdict.is_within);
    EXPECT_EQ(table.left(verdict), left);
    EXPECT_NEAR(static_cast<double>(table.refill_ns(verdict)),
                static_cast<double>((3 - left) * 100 * kMsNs), 1e3);
  }
  const auto refused = table.take(key, kStart);
  EXPECT_FALSE(refused.is_within);
  EXPECT_EQ(table.left(refused), 0U);
  EXPECT_NEAR(static_cast<double>(table.wait_ns(refused)), 100.0 * kMsNs, 1e5);
  EXPECT_FALSE(table.take(key, kStart + 99 * kMsNs).is_within);
  EXPECT_TRUE(table.take(key, kStart + 101 * kMsNs).is_within);
  EXPECT_FALSE(table.take(key, kStart + 101 * kMsNs).is_within);
  // A whole second is ten requests, of which the bucket keeps three.
  for (int i = 0; i < 3; ++i)
    EXPECT_TRUE(table.take(key, kStart + 2 * kSecondNs).is_within);
  EXPECT_FALSE(table.take(key, kStart + 2 * kSecondNs).is_within);
}

TEST(RateTable, WhoAsksAgainAfterTheWaitIsWithin) {
  const RateTable::Shape shapes[] = {
      {.requests = 1'000'000, .per_ns = kSecondNs, .burst = 1, .keys = 1000},
      {.requests = 7, .per_ns = kSecondNs, .burst = 2, .keys = 1000},
      {.requests = 1, .per_ns = 24 * kHourNs, .burst = 1, .keys = 1000},
      {.requests = 1'000'000, .per_ns = 24 * kHourNs, .burst = 1'000'000, .keys = 1000}};
  for (const RateTable::Shape& shape : shapes) {
    RateTable table(shape);
    const std::uint64_t key = key_of(1, 0);
    for (std::uint64_t i = 0; i < shape.burst; ++i)
      ASSERT_TRUE(table.take(key, kStart).is_within);
    const auto refused = table.take(key, kStart);
    ASSERT_FALSE(refused.is_within);
    const std::uint64_t wait = table.wait_ns(refused);
    EXPECT_LE(wait, shape.per_ns / shape.requests + 1);
    // One tick more: the clock's are rounded down.
    EXPECT_TRUE(table.take(key, kStart + wait + shape.per_ns / shape.requests / 16).is_within);
  }
}

// Requests that a bucket has, as a fraction: the model.
struct Bucket {
  double level;
  std::uint64_t at_ns;
};

TEST(RateTable, AgreesWithASimpleModelInRandomOrders) {
  const RateTable::Shape shapes[] = {
      {.requests = 100, .per_ns = kSecondNs, .burst = 200, .keys = 1000},
      {.requests = 600, .per_ns = 60 * kSecondNs, .burst = 1, .keys = 1000},
      {.requests = 3, .per_ns = kHourNs, .burst = 5, .keys = 1000},
      {.requests = 50'000, .per_ns = kSecondNs, .burst = 17, .keys = 1000}};
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const RateTable::Shape& shape = shapes[seed % 4];
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    RateTable table(shape);
    const double interval_ns =
        static_cast<double>(shape.per_ns) / static_cast<double>(shape.requests);
    const double burst = static_cast<double>(shape.burst);
    std::vector<Bucket> model(40, {burst, kStart});
    std::uint64_t now = kStart;
    std::uint64_t within = 0;
    std::uint64_t beyond = 0;
    for (int i = 0; i < 20'000; ++i) {
      // Mostly all at once, sometimes a pause of up to a burst.
      if (random() % 64 == 0) now += random() % (1 + static_cast<std::uint64_t>(interval_ns));
      if (random() % 5000 == 0)
        now += random() % (1 + static_cast<std::uint64_t>(interval_ns * burst));
      const std::size_t key = std::min(random() % model.size(), random() % model.size());
      Bucket& bucket = model[key];
      bucket.level =
          std::min(burst, bucket.level + static_cast<double>(now - bucket.at_ns) / interval_ns);
      bucket.at_ns = now;
      const bool is_within = table.take(key_of(key + 1, key), now).is_within;
      constexpr double kTick = 1.0 / 8;  // two of the table's, at the roughest of these rates
      const bool is_clear = bucket.level >= 1 + kTick || bucket.level < 1 - kTick;
      ASSERT_TRUE(!is_clear || is_within == (bucket.level >= 1)) << i << ": level " << bucket.level;
      if (is_within) bucket.level -= 1;
      ++(is_within ? within : beyond);
    }
    EXPECT_GT(within, 100U);
    EXPECT_GT(beyond, 100U);
  }
}

TEST(RateTable, AFullSetForgetsTheOneThatIsNearestToFull) {
  RateTable table({.requests = 1, .per_ns = kHourNs, .burst = 20, .keys = 1000});
  for (std::uint64_t tag = 1; tag <= 8; ++tag) {
    const std::uint64_t requests = tag == 5 ? 1 : 2 + tag;
    for (std::uint64_t i = 0; i < requests; ++i)
      ASSERT_FALSE(table.take(key_of(tag, 0), kStart).has_evicted);
  }
  EXPECT_EQ(table.count_held(kStart), 8U);
  EXPECT_TRUE(table.take(key_of(9, 0), kStart).has_evicted);
  EXPECT_EQ(table.count_held(kStart), 8U);
  EXPECT_EQ(table.left(table.take(key_of(8, 0), kStart)), 9U) << "the others are there";
  const auto again = table.take(key_of(5, 0), kStart);
  EXPECT_TRUE(again.has_evicted) << "it was the one, and takes another's place now";
  EXPECT_EQ(table.left(again), 19U) << "with a new burst";
}

TEST(RateTable, WhatIsFullAgainGivesItsPlaceToAnother) {
  RateTable table({.requests = 1, .per_ns = kSecondNs, .burst = 1, .keys = 1000});
  for (std::uint64_t tag = 1; tag <= 8; ++tag)
    ASSERT_TRUE(table.take(key_of(tag, 1), kStart).is_within);
  EXPECT_EQ(table.count_held(kStart), 8U);
  EXPECT_EQ(table.count_held(kStart + 2 * kSecondNs), 0U);
  for (std::uint64_t tag = 11; tag <= 18; ++tag)
    ASSERT_FALSE(table.take(key_of(tag, 1), kStart + 2 * kSecondNs).has_evicted);
}

TEST(RateTable, AThreadWhoseClockIsBehindLetsNobodyThrough) {
  RateTable table({.requests = 1, .per_ns = kSecondNs, .burst = 2, .keys = 1000});
  const std::uint64_t key = key_of(1, 1);
  EXPECT_TRUE(table.take(key, kStart).is_within);
  EXPECT_TRUE(table.take(key, kStart).is_within);
  for (const std::uint64_t behind : {std::uint64_t{1}, kMsNs, kSecondNs, 9 * kSecondNs})
    EXPECT_FALSE(table.take(key, kStart - behind).is_within) << behind;
}

TEST(RateTable, WhatHasBeenThereForATurnOfTheClockIsFull) {
  // 16 ticks in a microsecond: 2^44 of them are 2^40 µs.
  RateTable table({.requests = 1'000'000, .per_ns = kSecondNs, .burst = 1000, .keys = 1000});
  constexpr std::uint64_t kTurnNs = (std::uint64_t{1} << 40) * 1000;
  for (const std::uint64_t part : {1, 2, 3, 5, 7}) {
    const std::uint64_t key = key_of(part, part);
    for (int i = 0; i < 1000; ++i)
      ASSERT_TRUE(table.take(key, kStart).is_within);
    ASSERT_FALSE(table.take(key, kStart).is_within);
    const auto verdict = table.take(key, kStart + kTurnNs / 8 * part);
    EXPECT_TRUE(verdict.is_within);
    EXPECT_EQ(table.left(verdict), 999U) << part;
  }
}

TEST(RateTable, ThereIsRoomForTheKeysThatWereAskedFor) {
  const RateTable small({.requests = 1, .per_ns = kSecondNs, .burst = 1, .keys = 1});
  EXPECT_EQ(small.entries(), 8U);
  RateTable table({.requests = 1, .per_ns = kHourNs, .burst = 1, .keys = 100'000});
  EXPECT_EQ(table.entries(), 262'144U);
  const base::KeyedHash hash(3, 4);
  std::uint64_t evicted = 0;
  std::uint64_t shared = 0;
  for (std::uint64_t i = 0; i < 100'000; ++i) {
    const auto verdict = table.take(hash({reinterpret_cast<const char*>(&i), sizeof(i)}), kStart);
    evicted += verdict.has_evicted ? 1 : 0;
    shared += verdict.is_within ? 0 : 1;
  }
  EXPECT_LT(evicted, 400U);
  EXPECT_LT(shared, 5U) << "keys with the same tag in one set";
  EXPECT_EQ(table.count_held(kStart), 100'000 - evicted - shared);
}

TEST(RateTable, ThreadsTakeFromOneBucketExactlyItsBurst) {
  constexpr std::uint64_t kKeys = 16;
  constexpr std::uint64_t kBurst = 5000;
  constexpr int kThreads = 4;
  RateTable table({.requests = 1, .per_ns = kHourNs, .burst = kBurst, .keys = 1000});
  std::array<std::atomic<std::uint64_t>, kKeys> within{};
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&table, &within] {
      for (std::uint64_t i = 0; i < kKeys * kBurst / 2; ++i) {
        const std::uint64_t key = i % kKeys;
        if (table.take(key_of(key + 1, key), kStart).is_within) ++within[key];
      }
    });
  }
  for (std::thread& thread : threads)
    thread.join();
  for (const auto& count : within)
    EXPECT_EQ(count.load(), kBurst);
}

}  // namespace
}  // namespace portunus::proxy
