#include "health/concurrency_limit.h"

#include <algorithm>
#include <cmath>

namespace portunus::health {
namespace {

// No quick change on the word of one window.
constexpr double kGradientMin = 0.5;
// A probe that gets no answers is given up after so long, or after so many of its usual times.
constexpr std::uint64_t kProbeMsMax = 2'000;
constexpr double kProbeLatenciesMax = 10;
constexpr double kNsPerMs = 1e6;

double mean_of(const ConcurrencyLimit::Seen& from, const ConcurrencyLimit::Seen& to) {
  return static_cast<double>(to.latency_ns - from.latency_ns) /
         static_cast<double>(to.answers - from.answers);
}

}  // namespace

ConcurrencyLimit::ConcurrencyLimit(const conf::AdaptiveLimit& rule)
    : rule_(rule), limit_(rule.initial) {}

void ConcurrencyLimit::configure(const conf::AdaptiveLimit& rule) {
  rule_ = rule;
  set_limit(limit_);
}

std::uint32_t ConcurrencyLimit::limit() const {
  return static_cast<std::uint32_t>(phase_ == Phase::measuring ? limit_ : probe_limit());
}

double ConcurrencyLimit::probe_limit() const {
  return std::max(static_cast<double>(rule_.min), std::floor(limit_ / 4));
}

void ConcurrencyLimit::set_limit(double limit) {
  limit_ = std::clamp(limit, static_cast<double>(rule_.min), static_cast<double>(rule_.max));
}

void ConcurrencyLimit::step(const Seen& seen, std::uint64_t now_ms) {
  if (phase_ != Phase::measuring) {
    probe(seen, now_ms);
    return;
  }
  if (window_ms_ == 0) begin_window(seen, now_ms);
  peak_ = std::max(peak_, seen.in_flight);
  if (now_ms - window_ms_ < kWindowMs || seen.answers - began_.answers < kAnswersMin) return;
  judge(seen, mean_of(began_, seen), now_ms);
  if (phase_ == Phase::measuring) begin_window(seen, now_ms);
}

void ConcurrencyLimit::begin_window(const Seen& seen, std::uint64_t now_ms) {
  began_ = seen;
  window_ms_ = now_ms;
  peak_ = 0;
}

void ConcurrencyLimit::judge(const Seen& seen, double mean_ns, std::uint64_t now_ms) {
  latency_ns_ = latency_ns_ == 0 ? mean_ns : (latency_ns_ + mean_ns) / 2;
  if (alone_ns_ == 0) alone_ns_ = mean_ns;
  // Faster than thought; or few at a time, and slower than thought.
  if (mean_ns < alone_ns_) alone_ns_ = (alone_ns_ + mean_ns) / 2;
  const bool are_few = peak_ <= limit_ / 4;
  if (mean_ns > alone_ns_ && are_few) alone_ns_ += (mean_ns - alone_ns_) / 4;
  knows_alone_ = knows_alone_ || are_few;

  const bool was_reached = seen.held_back != began_.held_back;
  const bool is_in_use = was_reached || peak_ >= limit_ / 2;
  const double gradient =
      std::clamp(alone_ns_ * (1 + rule_.tolerance_ratio) / latency_ns_, kGradientMin, 1.0);
  is_throttling_ = gradient < 1 && is_in_use;
  const bool may_probe = !has_probed_ || now_ms - probe_ms_ >= kProbeEveryMs;
  if (may_probe && (is_throttling_ || (is_in_use && !knows_alone_))) {
    begin_probe(now_ms);
  } else if (is_throttling_) {
    const double goal = limit_ * gradient + std::sqrt(limit_);
    if (goal < limit_ || was_reached) set_limit((limit_ + goal) / 2);
  } else if (was_reached) {
    set_limit(limit_ + std::sqrt(limit_));
  }
}

void ConcurrencyLimit::begin_probe(std::uint64_t now_ms) {
  has_probed_ = true;
  probe_ms_ = now_ms;
  phase_ = Phase::draining;
}

void ConcurrencyLimit::probe(const Seen& seen, std::uint64_t now_ms) {
  const std::uint64_t answers = seen.answers - began_.answers;
  if (phase_ == Phase::draining && seen.in_flight <= probe_limit()) {
    began_ = seen;
    phase_ = Phase::flushing;
  } else if (phase_ == Phase::flushing && answers >= static_cast<std::uint64_t>(probe_limit())) {
    began_ = seen;
    phase_ = Phase::probing;
  } else if (phase_ == Phase::probing && answers >= kAnswersMin) {
    alone_ns_ = std::min(mean_of(began_, seen), latency_ns_);
    knows_alone_ = true;
    phase_ = Phase::measuring;
  } else if (now_ms - probe_ms_ >=
             std::max(kProbeMsMax,
                      static_cast<std::uint64_t>(latency_ns_ * kProbeLatenciesMax / kNsPerMs))) {
    phase_ = Phase::measuring;
  }
  if (phase_ == Phase::measuring) begin_window(seen, now_ms);
}

}  // namespace portunus::health
