// Who is judged, and when: records, news, the clock. What becomes of them is in traffic_verdict.cc.
#include "health/traffic_judge.h"

#include <algorithm>
#include <utility>

#include "base/clock.h"
#include "health/traffic_records.h"

namespace portunus::health {

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
    return record->is_free() && record->member->is_healthy();
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
    if (tried.is_healthy() && tried.trials.is_limited()) events_->on_trial_free(tried);
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

const TrafficStatus* TrafficJudge::status_of(const Member& member) const {
  const auto found = by_member_.find(&member);
  return found == by_member_.end() ? nullptr : &found->second->status;
}

}  // namespace portunus::health
