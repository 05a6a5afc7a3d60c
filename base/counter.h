// Numbers that one thread writes and any thread may read: counters, gauges and a latency histogram
// with the OpenTelemetry bounds. A write is a relaxed load and a relaxed store, never a locked
// instruction, so each cell has exactly one writing thread; sums over threads are made by the
// reader. Durations are nanoseconds.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace portunus::base {

class Counter {
 public:
  void add(std::uint64_t amount = 1) {
    value_.store(value_.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

// Below zero only for a moment, in a sum over threads that is read while they run.
class Gauge {
 public:
  void add(std::int64_t amount) {
    value_.store(value_.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
  }
  [[nodiscard]] std::int64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::int64_t> value_{0};
};

// Upper bounds, both in the form of the metric's `le` label (seconds) and in nanoseconds.
inline constexpr std::array<const char*, 14> kLatencyBoundTexts{
    "0.005", "0.01", "0.025", "0.05", "0.075", "0.1", "0.25",
    "0.5",   "0.75", "1",     "2.5",  "5",     "7.5", "10"};
inline constexpr std::array<std::uint64_t, 14> kLatencyBoundsNs{
    5'000'000,     10'000'000,    25'000'000,    50'000'000,    75'000'000,
    100'000'000,   250'000'000,   500'000'000,   750'000'000,   1'000'000'000,
    2'500'000'000, 5'000'000'000, 7'500'000'000, 10'000'000'000};
inline constexpr std::size_t kLatencyBuckets = kLatencyBoundsNs.size() + 1;

// What a reader adds up.
struct LatencySum {
  std::array<std::uint64_t, kLatencyBuckets> buckets{};  // not cumulative
  std::uint64_t sum_ns = 0;
};

class LatencyHistogram {
 public:
  void observe(std::uint64_t duration_ns) {
    std::size_t bucket = 0;
    while (bucket < kLatencyBoundsNs.size() && duration_ns > kLatencyBoundsNs[bucket])
      ++bucket;
    buckets_[bucket].add();
    sum_ns_.add(duration_ns);
  }
  void add_to(LatencySum& sum) const {
    for (std::size_t i = 0; i < kLatencyBuckets; ++i)
      sum.buckets[i] += buckets_[i].value();
    sum.sum_ns += sum_ns_.value();
  }
  // Only from the writing thread.
  void add(const LatencySum& sum) {
    for (std::size_t i = 0; i < kLatencyBuckets; ++i)
      buckets_[i].add(sum.buckets[i]);
    sum_ns_.add(sum.sum_ns);
  }

 private:
  std::array<Counter, kLatencyBuckets> buckets_{};
  Counter sum_ns_;
};

}  // namespace portunus::base
