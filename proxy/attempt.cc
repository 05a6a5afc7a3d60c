#include "proxy/attempt.h"

#include <algorithm>
#include <array>

#include "proxy/metrics.h"

namespace portunus::proxy {

using base::EndReason;
using base::Error;
using base::Retry;
using base::Side;

namespace {

Error nobody_of(const Pool& pool) {
  if (pool.is_broken()) {
    return {EndReason::breaker_open, Side::upstream, Retry::no,
            "the circuit breakers of the pool's members are open"};
  }
  return {EndReason::no_healthy_upstream, Side::upstream, Retry::no, "no member of the pool is up"};
}

}  // namespace

Attempt::Attempt(AttemptOwner& owner)
    : owner_(&owner),
      deadline_(this, [](void* self) { static_cast<Attempt*>(self)->on_deadline(); }) {}

Attempt::Started Attempt::start(Pool& pool, Affinity affinity, bool is_repeatable) {
  pool_ = &pool;
  affinity_ = affinity;
  is_repeatable_ = is_repeatable;
  is_tunnel_ = is_paused_ = was_stale_ = is_noted_ = false;
  times_.connect_ns = times_.tls_ns = times_.sent_ns = times_.head_ns = 0;
  return pick();
}

PickInput Attempt::pick_input(std::span<const health::Member* const> tried) const {
  return {.key = affinity_.key,
          .tried = tried,
          .in_flight_max = pool_->settings().max_connections_per_upstream,
          .sticky = affinity_.sticky};
}

PickResult Attempt::try_lease() {
  return pool_->lease(pick_input(tried_), {is_repeatable_, needs_fresh_}, lease_);
}

Attempt::Started Attempt::pick() {
  PickResult result = try_lease();
  if (result == PickResult::all_full) {
    if (!pool_->wait(*this, WaitFor::room, phase_ == Phase::queued)) {
      return pool_->is_at_bound()
                 ? refuse(EndReason::pool_full, "the pool has as many requests as it may")
                 : refuse(EndReason::queue_full, "too many requests wait for this pool");
    }
    // Between the look and the queueing another thread may have released one without seeing us.
    result = try_lease();
    if (result != PickResult::all_full) pool_->leave_queue(*this);
  }
  return take(result);
}

bool Attempt::wait(WaitFor what, std::uint64_t ms) {
  if (!pool_->wait(*this, what, was_let_in_)) return false;
  was_let_in_ = true;
  paused_for_ = what;
  pause_ends_ns_ = owner_->loop().now_ns() + ms * 1'000'000;
  enter_queue(Phase::pausing, ms);
  return true;
}

void Attempt::enter_queue(Phase phase, std::uint64_t ms) {
  phase_ = phase;
  phase_began_ns_ = owner_->loop().now_ns();
  member_ = nullptr;  // of an earlier try: nothing here keeps it while we wait
  owner_->metrics().queue_entered(owner_->pool_id());
  owner_->loop().timers().arm(deadline_, ms);
}

std::uint64_t Attempt::pause_left_ms() const {
  const std::uint64_t now = owner_->loop().now_ns();
  return now < pause_ends_ns_ ? (pause_ends_ns_ - now) / 1'000'000 + 1 : 0;
}

bool Attempt::has_untried() const {
  return pool_->can_lease(pick_input(tried_));
}

bool Attempt::has_other() {
  if (tried_.empty()) {  // no memory is taken for an answer that is passed on
    const std::array<const health::Member*, 1> only{member_};
    return pool_->can_lease(pick_input(only));
  }
  tried_.push_back(member_);
  return has_untried();
}

void Attempt::ignore_answer(bool has_ended) {
  deadline_.disarm();
  if (std::ranges::find(tried_, member_) == tried_.end()) tried_.push_back(member_);
  error_ = {EndReason::upstream_status, Side::upstream, Retry::no,
            "the members' answers are errors"};
  if (!has_ended) stream().reset(error_);
}

void Attempt::drop(std::uint16_t status) {
  note_end(status);
  record(status);
  end();
}

Attempt::Started Attempt::take(PickResult result) {
  const std::uint64_t now = owner_->loop().now_ns();
  if (result == PickResult::all_full) {
    if (phase_ == Phase::queued) return Started::pending;
    const base::Milliseconds timeout = pool_->settings().overload.pending_timeout;
    enter_queue(Phase::queued, static_cast<std::uint64_t>(timeout.count()));
    return Started::pending;
  }
  leave_queue();
  if (result == PickResult::none) {
    // What became of the earlier tries says more than that there is nobody left.
    if (!error_.is_error()) error_ = nobody_of(*pool_);
    return Started::nobody;
  }
  ++tries_;
  error_ = {};
  member_ = &lease_.slot->member();
  phase_began_ns_ = now;
  if (lease_.stream != nullptr) {
    become_ready();
    return Started::ready;
  }
  phase_ = Phase::connecting;
  deadline_.disarm();  // the connection has its own
  pool_->dial(lease_, *this, owner_->client_info());
  return Started::pending;
}

// Out of the phases that wait in a queue of the pool.
void Attempt::leave_queue() {
  if (phase_ != Phase::queued && phase_ != Phase::pausing) return;
  pool_->leave_queue(*this);
  times_.queued_ns += owner_->loop().now_ns() - phase_began_ns_;
  owner_->metrics().queue_left(owner_->pool_id());
  deadline_.disarm();
  phase_ = Phase::idle;
}

Attempt::Started Attempt::refuse(EndReason reason, const char* detail) {
  leave_queue();
  error_ = {reason, Side::upstream, Retry::no, detail};
  return Started::failed;
}

void Attempt::on_woken() {
  if (phase_ == Phase::pausing) {
    leave_queue();
    owner_->on_try_again(paused_for_, false);
    return;
  }
  owner_->on_attempt_started(pick());
}

void Attempt::on_dialled(Error failure) {
  const std::uint64_t now = owner_->loop().now_ns();
  const std::uint64_t reached = lease_.stream->reached_ns();
  // One that others had begun to open may have been reached before.
  if (reached != 0) times_.tls_ns = now - std::max(reached, phase_began_ns_);
  times_.connect_ns = now - phase_began_ns_ - times_.tls_ns;
  if (failure.is_error()) {
    fail(failure);
    return;
  }
  become_ready();
  owner_->on_attempt_ready();
}

void Attempt::become_ready() {
  lease_.stream->begin(*this);
  phase_ = Phase::waiting;
  times_.sent_ns = owner_->loop().now_ns();
  is_timed_ = owner_->is_request_done();
  arm_for_answer();
}

void Attempt::arm_for_answer() {
  const conf::Pool& settings = pool_->settings();
  const base::Milliseconds per_try = settings.retry.per_try;
  const base::Milliseconds first_byte = settings.timeouts.first_byte;
  arm(per_try.count() > 0 && per_try < first_byte ? per_try : first_byte);
}

void Attempt::arm(base::Milliseconds after) {
  owner_->loop().timers().arm(deadline_, static_cast<std::uint64_t>(after.count()));
}

void Attempt::touch() {
  if (is_tunnel_) {
    arm(pool_->settings().timeouts.tunnel);
  } else if (phase_ == Phase::waiting) {
    arm_for_answer();
  }
}

void Attempt::enter_tunnel() {
  note_end(101);
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
    owner_->on_response_head(head, false);
    return;
  }
  phase_ = Phase::streaming;
  times_.head_ns = owner_->loop().now_ns();
  note_head(head.status);
  if (end) {
    deadline_.disarm();
  } else {
    arm(pool_->settings().timeouts.between_bytes);
  }
  owner_->on_response_head(head, end);
}

void Attempt::on_body(std::span<const char> bytes, bool end) {
  if (is_tunnel_) {
    touch();
  } else if (end) {
    deadline_.disarm();
  } else {
    arm(pool_->settings().timeouts.between_bytes);
  }
  owner_->on_response_body(bytes, end);
}

void Attempt::on_trailers(const http::HeaderBlock& trailers) {
  deadline_.disarm();
  owner_->on_response_trailers(trailers);
}

void Attempt::on_drained() {
  owner_->on_upstream_drained();
}

void Attempt::on_reset(Error why) {
  fail(why);
}

void Attempt::on_deadline() {
  switch (phase_) {
    case Phase::idle:
    case Phase::connecting:
      return;
    case Phase::pausing:
      leave_queue();
      owner_->on_try_again(paused_for_, true);
      return;
    case Phase::queued:
      leave_queue();
      error_ = {EndReason::queue_timeout, Side::upstream, Retry::no,
                "waited too long for a connection to the pool"};
      owner_->on_attempt_failed(error_);
      return;
    case Phase::waiting:
      if (!owner_->is_request_done() && stream().unsent() <= http::kUnsentLow) {
        // It is the client who is slow; its own time-outs bound that.
        arm_for_answer();
        return;
      }
      fail({EndReason::upstream_timeout, Side::upstream, Retry::idempotent, "no answer in time"});
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
  was_stale_ = why.reason == EndReason::upstream_reset && is_of_connection(why.retry);
  if (was_stale_) {
    needs_fresh_ = true;
  } else {
    tried_.push_back(member_);
    note_failure(why);
  }
  owner_->metrics().upstream_error(*member_, why.reason);
  record(0);
  end();
  owner_->on_attempt_failed(why);
}

// Whether a reset is a matter of the connection and not of the member, and another one is worth a try.
bool Attempt::is_of_connection(Retry retry) {
  if (retry == Retry::unsent) return lease_.is_reused || ++given_back_ <= kGivenBackMax;
  return retry == Retry::idempotent && lease_.is_reused && lease_.stream->may_have_been_stale();
}

void Attempt::finish(std::uint16_t status) {
  if (!is_ready()) {
    cancel();
    return;
  }
  note_end(status);
  record(status);
  end();
}

void Attempt::end() {
  deadline_.disarm();
  phase_ = Phase::idle;
  if (pool_ != nullptr) pool_->release(lease_);
}

void Attempt::cancel() {
  leave_queue();
  end();
}

}  // namespace portunus::proxy
