// What an attempt tells of its member: to those who judge it, and to the metrics.
#include "proxy/attempt.h"
#include "proxy/metrics.h"

namespace portunus::proxy {

using base::EndReason;
using base::Error;
using base::Retry;
using base::Side;
using conf::FailureKind;

bool Attempt::is_slow() const {
  const conf::CircuitBreaker& rule = pool_->settings().breaker;
  if (!rule.is_on || rule.latency_p99.count() == 0 || !is_timed_) return false;
  return times_.head_ns - times_.sent_ns > base::whole_ms(rule.latency_p99) * base::kNsPerMs;
}

// What is known with the head: that it is an error, or that somebody can be reached again. What went
// well is known at the end only.
void Attempt::note_head(std::uint16_t status) {
  // A member that has too much may well say so quickly.
  if (is_timed_ && status < 500 && status != 429)
    pool_->note_latency(times_.head_ns - times_.sent_ns);
  const bool is_failure = pool_->settings().passive.on.counts(status);
  if (!is_failure && !lease_.is_trial) return;
  is_noted_ = true;
  pool_->note(lease_, {.is_failure = is_failure, .is_slow = is_slow()});
}

void Attempt::note_end(std::uint16_t status) {
  if (is_noted_ || status == 0) return;
  is_noted_ = true;
  pool_->note(lease_, {.is_slow = is_slow()});
}

void Attempt::note_time_over() {
  if (phase_ != Phase::waiting || !owner_->is_request_done()) return;
  note_failure({EndReason::upstream_timeout, Side::upstream, Retry::no, ""});
}

// Only what the member has done.
void Attempt::note_failure(const Error& why) {
  // A tunnel that is silent, or cut, is as much the client's doing.
  if (why.side != Side::upstream || is_noted_ || is_tunnel_) return;
  FailureKind kind = FailureKind::reset;
  if (phase_ == Phase::connecting || why.reason == EndReason::upstream_connect ||
      why.reason == EndReason::upstream_tls) {
    kind = FailureKind::connect;
  } else if (why.reason == EndReason::upstream_timeout) {
    kind = FailureKind::timeout;
    if (phase_ == Phase::waiting && is_timed_)
      pool_->note_latency(owner_->loop().now_ns() - times_.sent_ns);
  } else if (why.reason == EndReason::upstream_protocol) {
    kind = FailureKind::protocol;
  }
  if (!pool_->settings().passive.on.counts(kind)) return;
  is_noted_ = true;
  pool_->note(lease_, {.is_failure = true, .kind = kind});
}

void Attempt::record(std::uint16_t status) {
  AttemptRecord attempt;
  attempt.member = member_;
  attempt.pool_id = owner_->pool_id();
  attempt.status = status;
  attempt.queue_ns = times_.queued_ns - queued_told_ns_;
  queued_told_ns_ = times_.queued_ns;
  attempt.connect_ns = times_.connect_ns;
  attempt.tls_ns = times_.tls_ns;
  const std::uint64_t now = owner_->loop().now_ns();
  if (times_.sent_ns != 0) {
    attempt.total_ns = now - times_.sent_ns;
    if (times_.head_ns != 0) {
      attempt.first_byte_ns = times_.head_ns - times_.sent_ns;
      attempt.body_ns = now - times_.head_ns;
    }
  }
  owner_->metrics().attempt_done(attempt);
}

}  // namespace portunus::proxy
