// What becomes of a member whose requests were counted: put out, tried, let back. When it is looked at,
// traffic_judge.cc says.
#include <algorithm>
#include <string>

#include "base/clock.h"
#include "health/traffic_judge.h"
#include "health/traffic_records.h"

namespace portunus::health {
namespace {

using conf::FailureKind;

constexpr std::uint64_t kUsPerMs = 1'000;

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

}  // namespace

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
    return one.get() != &record && one->is_free() && one->member->is_healthy();
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

void TrafficJudge::resume(const Member& member, const Held& held, std::uint64_t now_us) {
  const auto found = by_member_.find(&member);
  if (found == by_member_.end() || is_stopped_) return;
  Record& record = *found->second;
  const Pool& pool = *record.pool;
  const bool is_judged_so = held.is_breaker ? pool.breaker.is_on : pool.passive.is_on;
  if (!is_judged_so || !record.is_free() || member.verdict != MemberState::up) return;
  if (!held.is_breaker && !may_eject(record)) return;
  const std::uint64_t now_ms = loop_->now_ms();
  const std::uint64_t left_ms = held.until_us > now_us ? (held.until_us - now_us) / kUsPerMs : 0;
  if (held.is_breaker) {
    record.breaker.put_out(now_ms, std::min(left_ms, length_of(pool.breaker.open_for)));
  } else {
    record.ejection.resume(held.times, std::min(left_ms, length_of(pool.passive.max_eject_for)),
                           now_ms);
  }
  record.status.reason = held.reason;
  publish(record, held.is_breaker ? kBreakerCause : kPassiveCause);
  record.status.since_us = std::min(held.since_us, now_us);
  relieve(*record.pool);
  be_there_by(std::max(now_ms, record.next_ms()));
}

std::optional<Held> TrafficJudge::held(const Member& member) const {
  const auto found = by_member_.find(&member);
  if (found == by_member_.end() || found->second->is_free()) return std::nullopt;
  const Record& record = *found->second;
  return Held{.is_breaker = record.breaker.phase() != Suspension::Phase::in,
              .times = record.ejection.times(),
              .since_us = record.status.since_us,
              .until_us = record.status.until_us,
              .reason = record.status.reason};
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
  const bool is_held_now = record.ejection.suspension().is_out() || record.breaker.is_out();
  const std::uint64_t now_ms = loop_->now_ms();
  record.status.until_us =
      is_held_now
          ? record.status.since_us + (std::max(now_ms, record.next_ms()) - now_ms) * kUsPerMs
          : 0;
  const bool was_out = record.member->is_out;
  // What it has done up to now has been judged.
  record.passive_window.clear();
  record.breaker_window.clear();
  member.conduct.failures_in_row.store(0, std::memory_order_relaxed);
  const MemberState from = member.state.load(std::memory_order_relaxed);
  member.is_out = is_held_now;
  if (was_out && !member.is_out) record.status.back_ms = base::monotonic_ms();
  member.is_broken.store(record.breaker.phase() != Suspension::Phase::in,
                         std::memory_order_relaxed);
  member.publish();
  const MemberState to = member.state.load(std::memory_order_relaxed);
  const std::string reason =
      record.status.reason.empty() ? "its trial went well" : record.status.reason;
  events_->on_judged(member, {from, to, cause, reason});
}

}  // namespace portunus::health
