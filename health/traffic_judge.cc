#include "health/traffic_judge.h"

#include <algorithm>
#include <utility>

#include "base/clock.h"
#include "health/traffic_window.h"

namespace portunus::health {
namespace {

using conf::FailureKind;

constexpr const char* kPassiveCause = "passive";
constexpr const char* kBreakerCause = "breaker";

const char* words_of(FailureKind kind) {
  switch (kind) {
    case FailureKind::connect:
      return "no connection";
    case FailureKind::reset:
      return "a broken connection";
    case FailureKind::timeout:
      return "no answer in time";
    case FailureKind::protocol:
      return "no valid HTTP";
    case FailureKind::status:
      return "an error status";
  }
  return "";
}

std::string time_text(std::uint64_t ms) {
  constexpr std::uint64_t kSecond = 1'000;
  return ms % kSecond == 0 ? std::to_string(ms / kSecond) + " s" : std::to_string(ms) + " ms";
}

std::string row_text(const Member& member, std::uint32_t row) {
  return std::to_string(row) + " failures in a row, the last one " +
         words_of(member.conduct.last_kind.load(std::memory_order_relaxed));
}

std::string ratio_text(const TrafficCounts& counts) {
  return std::to_string(counts.failed) + " of " + std::to_string(counts.done) + " requests failed";
}

// Counters of 32 bits that wrap.
std::uint32_t take(const std::atomic<std::uint32_t>& counter, std::uint32_t& seen) {
  const std::uint32_t now = counter.load(std::memory_order_relaxed);
  return now - std::exchange(seen, now);
}

std::uint64_t length_of(const conf::Milliseconds& time) {
  return static_cast<std::uint64_t>(time.count());
}

}  // namespace

struct TrafficJudge::Record {
  // allow(shared_ptr): as long as it is judged
  std::shared_ptr<Member> member;
  Pool* pool = nullptr;
  Ejection ejection;
  Suspension breaker;
  TrafficWindow passive_window;
  TrafficWindow breaker_window;
  TrafficStatus status;
  struct Seen {
    std::uint32_t done = 0;
    std::uint32_t failed = 0;
    std::uint32_t slow = 0;
    std::uint32_t trials_good = 0;
    std::uint32_t trials_bad = 0;
  } seen;

  [[nodiscard]] bool is_free() const {
    return ejection.suspension().phase() == Suspension::Phase::in &&
           breaker.phase() == Suspension::Phase::in;
  }
};

struct TrafficJudge::Pool {
  conf::Passive passive;
  conf::CircuitBreaker breaker;
  bool is_probed = true;
  bool is_watched = false;
  std::vector<std::unique_ptr<Record>> records;
};

TrafficJudge::TrafficJudge(net::Loop& loop, JudgeEvents& events)
    : loop_(&loop),
      events_(&events),
      timer_(this, [](void* self) { static_cast<TrafficJudge*>(self)->on_timer(); }) {}

TrafficJudge::~TrafficJudge() = default;

// ---- whom ----

void TrafficJudge::set_pools(const std::vector<JudgedPool>& pools) {
  if (is_stopped_) return;
  // allow(shared_ptr): the members that left are let go of at the end
  std::vector<std::unique_ptr<Pool>> before = std::exchange(pools_, {});
  std::unordered_map<const Member*, Record*> known = std::exchange(by_member_, {});
  for (const JudgedPool& wanted : pools) {
    if (!wanted.passive.is_on && !wanted.breaker.is_on) continue;
    auto pool = std::make_unique<Pool>();
    for (const auto& member : wanted.members) {
      if (by_member_.contains(member.get())) continue;
      auto record = std::make_unique<Record>();
      const auto old = known.find(member.get());
      if (old != known.end()) {
        *record = std::move(*old->second);
        pool->is_watched = pool->is_watched || record->pool->is_watched;
        known.erase(old);
      } else {
        record->member = member;
      }
      record->pool = pool.get();
      by_member_.emplace(member.get(), record.get());
      pool->records.push_back(std::move(record));
    }
    Pool& added = *pool;
    pools_.push_back(std::move(pool));
    adopt(added, wanted);
  }
  for (const auto& [member, record] : known)
    let_go(*record);
  schedule();
}

void TrafficJudge::adopt(Pool& pool, const JudgedPool& wanted) {
  pool.passive = wanted.passive;
  pool.breaker = wanted.breaker;
  pool.is_probed = wanted.is_probed;
  for (auto& record : pool.records) {
    record->status.has_breaker = pool.breaker.is_on;
    const bool is_held =
        (pool.passive.is_on || record->ejection.suspension().phase() == Suspension::Phase::in) &&
        (pool.breaker.is_on || record->breaker.phase() == Suspension::Phase::in);
    if (!is_held) let_go(*record);
  }
  if (pool.is_watched) watch(pool);
}

void TrafficJudge::on_verdict(const Member& member) {
  const auto found = by_member_.find(&member);
  if (found != by_member_.end() && member.verdict != MemberState::up) let_go(*found->second);
}

// Nothing is held against it.
void TrafficJudge::let_go(Record& record) {
  record.ejection.clear();
  record.breaker.clear();
  record.passive_window.clear();
  record.breaker_window.clear();
  record.status.ejection = record.status.breaker = Suspension::Phase::in;
  record.status.reason.clear();
  Member& member = *record.member;
  member.conduct.failures_in_row.store(0, std::memory_order_relaxed);
  member.trials.set(Trials::kNoLimit);
  member.is_broken.store(false, std::memory_order_relaxed);
  member.is_out = false;
  member.publish();
}

// ---- watching ----

void TrafficJudge::watch(Pool& pool) {
  pool.is_watched = true;
  for (auto& record : pool.records)
    record->member->conduct.is_watched.store(true, std::memory_order_relaxed);
}

void TrafficJudge::on_news(const Member* member) {
  const auto found = by_member_.find(member);
  if (found == by_member_.end() || is_stopped_) return;
  Pool& pool = *found->second->pool;
  const std::uint64_t now_ms = loop_->now_ms();
  if (!pool.is_watched) watch(pool);
  take_counts(*found->second, now_ms);
  judge(*found->second, now_ms);
  schedule();
}

void TrafficJudge::take_counts(Record& record, std::uint64_t now_ms) {
  const Conduct& conduct = record.member->conduct;
  const TrafficCounts counts{take(conduct.done, record.seen.done),
                             take(conduct.failed, record.seen.failed),
                             take(conduct.slow, record.seen.slow)};
  record.passive_window.add(counts, now_ms, length_of(record.pool->passive.window));
  record.breaker_window.add(counts, now_ms, length_of(record.pool->breaker.window));
}

void TrafficJudge::look(Pool& pool, std::uint64_t now_ms) {
  for (auto& record : pool.records)
    take_counts(*record, now_ms);
  for (auto& record : pool.records)
    judge(*record, now_ms);
  if (pool.is_watched) rest(pool, now_ms);
}

// Nothing has gone wrong for a whole window: requests are no longer counted.
void TrafficJudge::rest(Pool& pool, std::uint64_t now_ms) {
  const auto is_quiet = [](const TrafficWindow& window) {
    const TrafficCounts sum = window.sum();
    return sum.failed == 0 && sum.slow == 0;
  };
  const auto all_quiet = [&] {
    return std::ranges::all_of(pool.records, [&](const auto& record) {
      return is_quiet(record->passive_window) && is_quiet(record->breaker_window);
    });
  };
  if (!all_quiet()) return;
  for (auto& record : pool.records)
    record->member->conduct.is_watched.store(false, std::memory_order_relaxed);
  for (auto& record : pool.records)
    take_counts(*record, now_ms);
  pool.is_watched = false;
  if (!all_quiet()) {
    watch(pool);
    return;
  }
  for (auto& record : pool.records) {
    record->passive_window.clear();
    record->breaker_window.clear();
  }
}

void TrafficJudge::schedule() {
  if (is_stopped_) return;
  const std::uint64_t now_ms = loop_->now_ms();
  constexpr std::uint64_t kNever = ~std::uint64_t{0};
  std::uint64_t next_ms = kNever;
  for (const auto& pool : pools_) {
    if (pool->is_watched) next_ms = std::min(next_ms, now_ms + kEveryMs);
    for (const auto& record : pool->records) {
      const Suspension& ejection = record->ejection.suspension();
      if (ejection.is_out()) next_ms = std::min(next_ms, ejection.until_ms());
      if (record->breaker.is_out()) next_ms = std::min(next_ms, record->breaker.until_ms());
    }
  }
  if (next_ms == kNever) {
    timer_.disarm();
  } else {
    loop_->timers().arm(timer_, next_ms > now_ms ? next_ms - now_ms : 0);
  }
}

void TrafficJudge::on_timer() {
  const std::uint64_t now_ms = loop_->now_ms();
  for (auto& pool : pools_) {
    if (pool->is_watched) {
      look(*pool, now_ms);
      continue;
    }
    for (auto& record : pool->records)
      if (!record->is_free()) judge(*record, now_ms);
  }
  schedule();
}

void TrafficJudge::stop() {
  is_stopped_ = true;
  timer_.disarm();
  by_member_.clear();
  pools_.clear();
}

// ---- judging ----

void TrafficJudge::judge(Record& record, std::uint64_t now_ms) {
  judge_trial(record, now_ms);
  judge_time(record, now_ms);
  if (record.is_free()) judge_conduct(record, now_ms);
}

void TrafficJudge::judge_trial(Record& record, std::uint64_t now_ms) {
  const std::uint32_t bad = take(record.member->conduct.trials_bad, record.seen.trials_bad);
  const std::uint32_t good = take(record.member->conduct.trials_good, record.seen.trials_good);
  if (record.ejection.suspension().is_on_trial()) {
    if (bad > 0) {
      eject(record,
            std::string("its trial request failed: ") +
                words_of(record.member->conduct.last_kind.load(std::memory_order_relaxed)),
            now_ms);
    } else if (record.ejection.on_good(good, now_ms)) {
      let_back(record, kPassiveCause);
    }
  } else if (record.breaker.is_on_trial()) {
    if (bad > 0) {
      open(record, BreakerTrip::trial,
           std::string("a trial request failed: ") +
               words_of(record.member->conduct.last_kind.load(std::memory_order_relaxed)),
           now_ms);
    } else if (record.breaker.on_good(good)) {
      let_back(record, kBreakerCause);
    }
  }
}

void TrafficJudge::judge_time(Record& record, std::uint64_t now_ms) {
  if (record.ejection.on_time(now_ms)) begin_trial(record, kEjectionTrials, kPassiveCause);
  const std::uint32_t trials = record.pool->breaker.half_open_requests;
  if (record.breaker.on_time(now_ms, trials)) begin_trial(record, trials, kBreakerCause);
}

void TrafficJudge::judge_conduct(Record& record, std::uint64_t now_ms) {
  const Pool& pool = *record.pool;
  const Member& member = *record.member;
  if (member.verdict != MemberState::up) return;
  const std::uint32_t row = member.conduct.failures_in_row.load(std::memory_order_relaxed);
  if (pool.breaker.is_on) {
    const TrafficCounts window = record.breaker_window.sum();
    const BreakerTrip trip = look_at(pool.breaker, window, row);
    if (trip != BreakerTrip::none) {
      std::string why;
      if (trip == BreakerTrip::consecutive_failures) why = row_text(member, row);
      if (trip == BreakerTrip::failure_ratio) why = ratio_text(window);
      if (trip == BreakerTrip::latency) {
        why = std::to_string(window.slow) + " of " + std::to_string(window.done) +
              " answers began later than " + time_text(length_of(pool.breaker.latency_p99));
      }
      open(record, trip, why, now_ms);
      return;
    }
  }
  if (!pool.passive.is_on) return;
  const std::uint32_t limit = pool.passive.consecutive_failures;
  if (limit != 0 && row >= limit) {
    eject(record, row_text(member, row), now_ms);
    return;
  }
  const TrafficCounts its = record.passive_window.sum();
  if (its.failed == 0) return;
  TrafficCounts others;
  for (const auto& other : pool.records)
    if (other.get() != &record) others += other->passive_window.sum();
  if (is_outlier(pool.passive, its, others))
    eject(record, ratio_text(its) + ", and of the others' " + ratio_text(others), now_ms);
}

bool TrafficJudge::may_eject(const Record& record) const {
  const Pool& pool = *record.pool;
  const auto ejected = std::ranges::count_if(
      pool.records, [](const auto& one) { return one->ejection.suspension().is_out(); });
  const double most = pool.passive.max_ejected_ratio * static_cast<double>(pool.records.size());
  return static_cast<double>(ejected) + 1 <= most &&
         std::ranges::any_of(pool.records, [&](const auto& one) {
           return one.get() != &record && one->member->is_selectable() && one->is_free();
         });
}

// Also again, from a trial that failed: it was out with the others' leave.
void TrafficJudge::eject(Record& record, const std::string& why, std::uint64_t now_ms) {
  const bool is_again = !record.is_free();
  if (!is_again && !may_eject(record)) return;
  const FailureKind kind = record.member->conduct.last_kind.load(std::memory_order_relaxed);
  const bool is_of_connections = kind == FailureKind::connect || kind == FailureKind::reset;
  const std::uint64_t for_ms = record.ejection.eject(
      record.pool->passive, record.pool->is_probed && is_of_connections, now_ms);
  ++record.status.ejections;
  record.status.reason = "ejected for " + time_text(for_ms) + ": " + why;
  publish(record, kPassiveCause);
}

void TrafficJudge::open(Record& record,
                        BreakerTrip trip,
                        const std::string& why,
                        std::uint64_t now_ms) {
  const std::uint64_t for_ms = length_of(record.pool->breaker.open_for);
  record.breaker.put_out(now_ms, for_ms);
  ++record.status.trips[static_cast<std::size_t>(trip)];
  record.status.reason = "circuit breaker open for " + time_text(for_ms) + ": " + why;
  publish(record, kBreakerCause);
}

void TrafficJudge::begin_trial(Record& record, std::uint32_t trials, const char* cause) {
  record.status.reason =
      trials == 1 ? "one request tries it, after: " + record.status.reason
                  : std::to_string(trials) + " requests try it, after: " + record.status.reason;
  record.seen.trials_good = record.member->conduct.trials_good.load(std::memory_order_relaxed);
  record.seen.trials_bad = record.member->conduct.trials_bad.load(std::memory_order_relaxed);
  record.member->trials.set(static_cast<std::int32_t>(trials));
  publish(record, cause);
}

void TrafficJudge::let_back(Record& record, const char* cause) {
  record.status.reason.clear();
  record.member->trials.set(Trials::kNoLimit);
  publish(record, cause);
}

void TrafficJudge::publish(Record& record, const char* cause) {
  Member& member = *record.member;
  record.status.ejection = record.ejection.suspension().phase();
  record.status.breaker = record.breaker.phase();
  record.status.since_us = base::wall_us();
  // What it has done up to now has been judged.
  record.passive_window.clear();
  record.breaker_window.clear();
  member.conduct.failures_in_row.store(0, std::memory_order_relaxed);
  const MemberState from = member.state.load(std::memory_order_relaxed);
  member.is_out = record.ejection.suspension().is_out() || record.breaker.is_out();
  member.is_broken.store(record.breaker.is_out(), std::memory_order_relaxed);
  member.publish();
  const MemberState to = member.state.load(std::memory_order_relaxed);
  const std::string reason =
      record.status.reason.empty() ? "its trial went well" : record.status.reason;
  events_->on_judged(member, {from, to, cause, reason});
}

const TrafficStatus* TrafficJudge::status_of(const Member& member) const {
  const auto found = by_member_.find(&member);
  return found == by_member_.end() ? nullptr : &found->second->status;
}

}  // namespace portunus::health
