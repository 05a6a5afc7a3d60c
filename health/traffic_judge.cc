#include "health/traffic_judge.h"

#include <algorithm>
#include <utility>

#include "base/clock.h"
#include "health/traffic_window.h"

namespace portunus::health {
namespace {

using conf::FailureKind;

constexpr std::uint64_t kNever = ~std::uint64_t{0};

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
  // When the time of what holds it is over.
  [[nodiscard]] std::uint64_t next_ms() const {
    if (is_free()) return kNever;
    return breaker.phase() == Suspension::Phase::in ? ejection.suspension().until_ms()
                                                    : breaker.until_ms();
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
        begin_record(*record);
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
    forget(*record);
  for (auto& pool : pools_)
    relieve(*pool);
  schedule();
}

// What was counted before it was judged says nothing.
void TrafficJudge::begin_record(Record& record) {
  Conduct& conduct = record.member->conduct;
  conduct.is_watched.store(false, std::memory_order_relaxed);
  conduct.failures_in_row.store(0, std::memory_order_relaxed);
  record.seen = {.done = conduct.done.load(std::memory_order_relaxed),
                 .failed = conduct.failed.load(std::memory_order_relaxed),
                 .slow = conduct.slow.load(std::memory_order_relaxed),
                 .trials_good = conduct.trials_good.load(std::memory_order_relaxed),
                 .trials_bad = conduct.trials_bad.load(std::memory_order_relaxed)};
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
    if (!is_held) let_go(*record, "it is no longer judged so");
  }
  if (pool.is_watched) watch(pool);
}

void TrafficJudge::on_verdict(const Member& member) {
  const auto found = by_member_.find(&member);
  if (found == by_member_.end()) return;
  let_go(*found->second);
  relieve(*found->second->pool);
}

// The member may be another pool's from now on.
void TrafficJudge::forget(Record& record) {
  let_go(record);
  record.member->conduct.is_watched.store(false, std::memory_order_relaxed);
}

// Nothing is held against it. `why` is told, unless the probes have told what has changed.
void TrafficJudge::let_go(Record& record, const char* why) {
  const bool was_held = !record.is_free();
  const char* const cause =
      record.breaker.phase() == Suspension::Phase::in ? kPassiveCause : kBreakerCause;
  take_counts(record, loop_->now_ms());
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
  const MemberState from = member.state.load(std::memory_order_relaxed);
  member.publish();
  if (!was_held || why == nullptr) return;
  record.status.back_ms = base::monotonic_ms();
  events_->on_judged(member, {from, member.state.load(std::memory_order_relaxed), cause, why});
}

// An ejection spares the others' clients a bad member; without others it spares nobody.
void TrafficJudge::relieve(Pool& pool) {
  const auto is_held = [](const auto& record) {
    return record->ejection.suspension().phase() != Suspension::Phase::in;
  };
  if (std::ranges::none_of(pool.records, is_held)) return;
  const bool is_any_left = std::ranges::any_of(pool.records, [](const auto& record) {
    return record->is_free() && record->member->is_selectable();
  });
  if (is_any_left) return;
  for (auto& record : pool.records)
    if (is_held(record)) let_go(*record, "nobody else is left: it takes requests again");
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
  Record& record = *found->second;
  Pool& pool = *record.pool;
  const std::uint64_t now_ms = loop_->now_ms();
  if (!pool.is_watched) watch(pool);
  take_counts(record, now_ms);
  judge(record, now_ms);
  be_there_by(now_ms + kEveryMs);
  if (!record.is_free()) {
    const Member& tried = *record.member;
    if (tried.is_selectable() && tried.trials.is_limited()) events_->on_trial_free(tried);
    be_there_by(std::max(now_ms, record.next_ms()));
  }
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
  TrafficCounts all;
  for (auto& record : pool.records)
    all += record->passive_window.sum();
  for (auto& record : pool.records) {
    judge(*record, now_ms);
    if (all.failed > 0 && record->is_free()) compare(*record, all, now_ms);
  }
  rest(pool, now_ms);
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

// No later than this.
void TrafficJudge::be_there_by(std::uint64_t due_ms) {
  if (timer_.is_armed() && due_ms_ <= due_ms) return;
  due_ms_ = due_ms;
  const std::uint64_t now_ms = loop_->now_ms();
  loop_->timers().arm(timer_, due_ms > now_ms ? due_ms - now_ms : 0);
}

void TrafficJudge::schedule() {
  if (is_stopped_) return;
  timer_.disarm();
  const std::uint64_t now_ms = loop_->now_ms();
  std::uint64_t next_ms = kNever;
  for (const auto& pool : pools_) {
    if (pool->is_watched) next_ms = std::min(next_ms, now_ms + kEveryMs);
    for (const auto& record : pool->records)
      next_ms = std::min(next_ms, record->next_ms());
  }
  if (next_ms != kNever) be_there_by(next_ms);
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
      const bool may_be_slow = record.pool->breaker.latency_p99.count() > 0;
      open(record, BreakerTrip::trial,
           may_be_slow
               ? "a trial request failed or was too slow"
               : std::string("a trial request failed: ") +
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
  // Those that try it take their time: as many others may.
  const bool is_stuck = record.ejection.is_stuck(now_ms) || record.breaker.is_stuck(now_ms);
  if (!is_stuck || record.member->trials.is_any_left()) return;
  const std::uint32_t left =
      record.breaker.is_on_trial() ? record.breaker.trials_left() : kEjectionTrials;
  record.member->trials.set(static_cast<std::int32_t>(left));
  events_->on_trial_free(*record.member);
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
}

// Whether it stands out; `all` of the pool.
void TrafficJudge::compare(Record& record, const TrafficCounts& all, std::uint64_t now_ms) {
  const conf::Passive& rule = record.pool->passive;
  if (!rule.is_on || record.member->verdict != MemberState::up) return;
  const TrafficCounts its = record.passive_window.sum();
  const TrafficCounts others = all - its;
  if (is_outlier(rule, its, others))
    eject(record, ratio_text(its) + ", and of the others' " + ratio_text(others), now_ms);
}

bool TrafficJudge::has_other(const Record& record) {
  return std::ranges::any_of(record.pool->records, [&](const auto& one) {
    return one.get() != &record && one->is_free() && one->member->is_selectable();
  });
}

// Those on trial count: they go out again without being asked.
bool TrafficJudge::may_eject(const Record& record) {
  const Pool& pool = *record.pool;
  const auto ejected = std::ranges::count_if(pool.records, [](const auto& one) {
    return one->ejection.suspension().phase() != Suspension::Phase::in;
  });
  const double most = pool.passive.max_ejected_ratio * static_cast<double>(pool.records.size());
  return static_cast<double>(ejected) + 1 <= most && has_other(record);
}

// Also again, from a trial that failed: it was out with the others' leave.
void TrafficJudge::eject(Record& record, const std::string& why, std::uint64_t now_ms) {
  const bool is_again = !record.is_free();
  if (is_again && !has_other(record)) {
    let_go(record, "nobody else is left: it takes requests again");
    return;
  }
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
  relieve(*record.pool);
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
  const bool was_out = record.member->is_out;
  // What it has done up to now has been judged.
  record.passive_window.clear();
  record.breaker_window.clear();
  member.conduct.failures_in_row.store(0, std::memory_order_relaxed);
  const MemberState from = member.state.load(std::memory_order_relaxed);
  member.is_out = record.ejection.suspension().is_out() || record.breaker.is_out();
  if (was_out && !member.is_out) record.status.back_ms = base::monotonic_ms();
  member.is_broken.store(record.breaker.phase() != Suspension::Phase::in,
                         std::memory_order_relaxed);
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
