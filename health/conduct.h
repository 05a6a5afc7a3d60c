// How a member does, as its requests tell: what data-plane threads count, and the control thread judges
// (traffic_judge.h). Relaxed atomics in Member. A request that goes well writes nothing here, unless
// something went wrong a moment ago: then all of the pool's requests are counted, for the ratios.
#pragma once

#include <atomic>
#include <cstdint>

#include "conf/model_pools.h"

namespace portunus::health {

// How many requests may still try a member that has been out; no limit otherwise. Set by the control
// thread, taken and given back by data-plane threads. One that ends when a new phase has begun may be
// counted there: it lets in one request more or less.
class Trials {
 public:
  // Far from its ends: who races with set() may take or give one of no limit.
  static constexpr std::int32_t kNoLimit = std::int32_t{1} << 30;

  void set(std::int32_t count) { left_.store(count, std::memory_order_relaxed); }
  [[nodiscard]] bool is_any_left() const { return left_.load(std::memory_order_relaxed) > 0; }
  [[nodiscard]] bool is_limited() const {
    return left_.load(std::memory_order_relaxed) < kNoLimit / 2;
  }
  // False when another thread has taken the last one meanwhile.
  [[nodiscard]] bool take() {
    if (left_.fetch_sub(1, std::memory_order_relaxed) > 0) return true;
    give();
    return false;
  }
  void give() {
    if (is_limited()) left_.fetch_add(1, std::memory_order_relaxed);
  }

 private:
  std::atomic<std::int32_t> left_{kNoLimit};
};

// How one try went. A try without an outcome of the member's making (the client left) has none.
struct Outcome {
  bool is_failure = false;
  bool is_slow = false;
  bool is_trial = false;
  conf::FailureKind kind = conf::FailureKind::status;  // of a failure
};

// Counters that only rise, and wrap.
struct Conduct {
  std::atomic<std::uint32_t> done{0};  // tries with an outcome, while is_watched
  std::atomic<std::uint32_t> failed{0};
  std::atomic<std::uint32_t> slow{0};
  std::atomic<std::uint32_t> trials_good{0};
  std::atomic<std::uint32_t> trials_bad{0};
  std::atomic<std::uint32_t> failures_in_row{0};
  std::atomic<conf::FailureKind> last_kind{conf::FailureKind::status};
  // Something has happened: the control thread looks at it again and again for a while.
  std::atomic<bool> is_watched{false};
  // The control thread has been told and has not looked yet: a storm of failures is one message.
  std::atomic<bool> is_told{false};

  // Any thread; true when the control thread should look at it now.
  [[nodiscard]] bool note(const Outcome& outcome, const conf::Pool& pool);
};

inline bool Conduct::note(const Outcome& outcome, const conf::Pool& pool) {
  constexpr auto kRelaxed = std::memory_order_relaxed;
  // One that is too slow is no reason to trust it again.
  const bool is_bad = outcome.is_failure || outcome.is_slow;
  if (outcome.is_trial) (is_bad ? trials_bad : trials_good).fetch_add(1, kRelaxed);
  if (!is_bad) {
    if (failures_in_row.load(kRelaxed) != 0) failures_in_row.store(0, kRelaxed);
    if (is_watched.load(kRelaxed)) done.fetch_add(1, kRelaxed);
    return outcome.is_trial;
  }
  const bool is_news = !is_watched.exchange(true, kRelaxed);
  done.fetch_add(1, kRelaxed);
  if (outcome.is_slow) slow.fetch_add(1, kRelaxed);
  if (!outcome.is_failure) {
    failures_in_row.store(0, kRelaxed);
    return is_news || outcome.is_trial;
  }
  last_kind.store(outcome.kind, kRelaxed);
  failed.fetch_add(1, kRelaxed);
  const std::uint32_t row = failures_in_row.fetch_add(1, kRelaxed) + 1;
  // Again and again: what could not be done the first time may be possible by then.
  const auto is_due = [row](std::uint32_t limit) {
    return limit != 0 && row % limit == 0;
  };
  return is_news || outcome.is_trial || is_due(pool.passive.consecutive_failures) ||
         is_due(pool.breaker.consecutive_failures);
}

}  // namespace portunus::health
