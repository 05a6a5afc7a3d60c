#include "proxy/attempt.h"

#include <algorithm>

#include "proxy/exchange.h"

namespace portunus::proxy {

using base::EndReason;
using base::Error;
using base::Retry;
using base::Side;

Attempt::Attempt(Exchange& exchange)
    : exchange_(&exchange),
      deadline_(this, [](void* self) { static_cast<Attempt*>(self)->on_deadline(); }) {}

Attempt::Started Attempt::start(Pool& pool, std::uint64_t key, bool is_repeatable) {
  pool_ = &pool;
  key_ = key;
  is_repeatable_ = is_repeatable;
  is_tunnel_ = is_paused_ = false;
  times_.connect_ns = times_.sent_ns = times_.head_ns = 0;
  return pick();
}

PickResult Attempt::try_lease() {
  const PickInput input{key_, std::span(tried_.data(), tried_count_),
                        pool_->settings().max_connections_per_upstream};
  return pool_->lease(input, {is_repeatable_, needs_fresh_}, lease_);
}

Attempt::Started Attempt::pick() {
  PickResult result = try_lease();
  if (result == PickResult::all_full) {
    if (!pool_->wait(*this, phase_ == Phase::queued)) {
      return refuse(EndReason::queue_full, "too many requests wait for this pool");
    }
    // Between the look and the queueing another thread may have released one without seeing us.
    result = try_lease();
    if (result != PickResult::all_full) pool_->leave_queue(*this);
  }
  return take(result);
}

Attempt::Started Attempt::take(PickResult result) {
  const std::uint64_t now = exchange_->loop().now_ns();
  if (result == PickResult::all_full) {
    if (phase_ == Phase::queued) return Started::pending;
    phase_ = Phase::queued;
    phase_began_ns_ = now;
    member_ = nullptr;  // of an earlier try: nothing here keeps it while we wait
    exchange_->metrics().queue_entered(exchange_->pool_id());
    arm(pool_->settings().overload.pending_timeout);
    return Started::pending;
  }
  leave_queued_phase();
  if (result == PickResult::none) {
    // What became of the earlier tries says more than that there is nobody left.
    if (error_.is_error()) return Started::failed;
    return refuse(EndReason::no_healthy_upstream, "no member of the pool is up");
  }
  ++tries_;
  error_ = {};
  member_ = &lease_.slot->member();
  phase_began_ns_ = now;
  if (lease_.connection != nullptr) {
    become_ready();
    return Started::ready;
  }
  phase_ = Phase::connecting;
  deadline_.disarm();  // the connection has its own
  pool_->dial(lease_, *this);
  return Started::pending;
}

void Attempt::leave_queued_phase() {
  if (phase_ != Phase::queued) return;
  times_.queued_ns += exchange_->loop().now_ns() - phase_began_ns_;
  exchange_->metrics().queue_left(exchange_->pool_id());
  deadline_.disarm();
  phase_ = Phase::idle;
}

Attempt::Started Attempt::refuse(EndReason reason, const char* detail) {
  leave_queued_phase();
  error_ = {reason, Side::upstream, Retry::no, detail};
  phase_ = Phase::idle;
  return Started::failed;
}

void Attempt::on_room() {
  switch (pick()) {
    case Started::ready:
      exchange_->on_attempt_ready();
      return;
    case Started::pending:
      return;
    case Started::failed:
      exchange_->on_attempt_failed(error_);
      return;
  }
}

void Attempt::on_dialled(Error failure) {
  const std::uint64_t now = exchange_->loop().now_ns();
  times_.connect_ns = now - phase_began_ns_;
  if (failure.is_error()) {
    fail(failure);
    return;
  }
  become_ready();
  exchange_->on_attempt_ready();
}

void Attempt::become_ready() {
  lease_.connection->begin(*this);
  phase_ = Phase::waiting;
  times_.sent_ns = exchange_->loop().now_ns();
  arm(pool_->settings().timeouts.first_byte);
}

void Attempt::arm(base::Milliseconds after) {
  exchange_->loop().timers().arm(deadline_, static_cast<std::uint64_t>(after.count()));
}

void Attempt::touch() {
  if (is_tunnel_) {
    arm(pool_->settings().timeouts.tunnel);
  } else if (phase_ == Phase::waiting) {
    arm(pool_->settings().timeouts.first_byte);
  }
}

void Attempt::enter_tunnel() {
  is_tunnel_ = true;
  touch();
}

void Attempt::set_reading(bool on) {
  is_paused_ = !on;
  stream().set_reading(on);
  if (on && phase_ == Phase::streaming && !is_tunnel_)
    arm(pool_->settings().timeouts.between_bytes);
}

void Attempt::on_head(http::Head& head, bool end) {
  if (head.is_interim()) {
    exchange_->on_response_head(head, false);
    return;
  }
  phase_ = Phase::streaming;
  times_.head_ns = exchange_->loop().now_ns();
  if (end) {
    deadline_.disarm();
  } else {
    arm(pool_->settings().timeouts.between_bytes);
  }
  exchange_->on_response_head(head, end);
}

void Attempt::on_body(std::span<const char> bytes, bool end) {
  if (is_tunnel_) {
    touch();
  } else if (end) {
    deadline_.disarm();
  } else {
    arm(pool_->settings().timeouts.between_bytes);
  }
  exchange_->on_response_body(bytes, end);
}

void Attempt::on_trailers(const http::HeaderBlock& trailers) {
  deadline_.disarm();
  exchange_->on_response_trailers(trailers);
}

void Attempt::on_drained() {
  exchange_->on_upstream_drained();
}

void Attempt::on_reset(Error why) {
  fail(why);
}

void Attempt::on_deadline() {
  switch (phase_) {
    case Phase::idle:
    case Phase::connecting:
      return;
    case Phase::queued:
      pool_->leave_queue(*this);
      leave_queued_phase();
      error_ = {EndReason::queue_timeout, Side::upstream, Retry::no,
                "waited too long for a connection to the pool"};
      exchange_->on_attempt_failed(error_);
      return;
    case Phase::waiting:
      if (!exchange_->is_request_done() && stream().unsent() <= http::kUnsentLow) {
        // It is the client who is slow; its own time-outs bound that.
        arm(pool_->settings().timeouts.first_byte);
        return;
      }
      fail({EndReason::upstream_timeout, Side::upstream, Retry::no, "no answer in time"});
      return;
    case Phase::streaming:
      if (is_paused_) {
        // It is the client who is slow.
        arm(pool_->settings().timeouts.between_bytes);
        return;
      }
      fail({EndReason::upstream_timeout, Side::upstream, Retry::no,
            is_tunnel_ ? "the tunnel was silent for too long" : "the answer stopped half-way"});
      return;
  }
}

void Attempt::fail(Error why) {
  error_ = why;
  // A kept connection that died says nothing about the member: it may be tried again, freshly.
  if (lease_.is_reused && why.retry == Retry::idempotent) {
    needs_fresh_ = true;
  } else if (tried_count_ < tried_.size()) {
    tried_[tried_count_++] = member_;
  }
  exchange_->metrics().upstream_error(*member_, why.reason);
  record(0);
  end();
  exchange_->on_attempt_failed(why);
}

void Attempt::finish(std::uint16_t status) {
  if (!is_ready()) {
    cancel();
    return;
  }
  record(status);
  end();
}

void Attempt::record(std::uint16_t status) {
  AttemptRecord attempt;
  attempt.member = member_;
  attempt.pool_id = exchange_->pool_id();
  attempt.status = status;
  attempt.queue_ns = times_.queued_ns;
  attempt.connect_ns = times_.connect_ns;
  const std::uint64_t now = exchange_->loop().now_ns();
  if (times_.sent_ns != 0) {
    attempt.total_ns = now - times_.sent_ns;
    if (times_.head_ns != 0) {
      attempt.first_byte_ns = times_.head_ns - times_.sent_ns;
      attempt.body_ns = now - times_.head_ns;
    }
  }
  exchange_->metrics().attempt_done(attempt);
}

void Attempt::end() {
  deadline_.disarm();
  phase_ = Phase::idle;
  if (pool_ != nullptr) pool_->release(lease_);
}

void Attempt::cancel() {
  if (phase_ == Phase::queued) {
    pool_->leave_queue(*this);
    leave_queued_phase();
  }
  end();
}

}  // namespace portunus::proxy
