#include "proxy/auth_call.h"

#include <algorithm>

#include "base/clock.h"
#include "proxy/exchange.h"

namespace portunus::proxy {

using base::EndReason;
using base::Error;
using base::Retry;
using base::Side;
using http::HeaderId;

AuthCall::AuthCall(Exchange& exchange, Pool& pool, std::uint32_t pool_id)
    : exchange_(&exchange),
      pool_(&pool),
      pool_id_(pool_id),
      attempt_(*this),
      started_ns_(exchange.loop().now_ns()) {
  pool_->request_began();
}

AuthCall::~AuthCall() {
  give_retry();
  pool_->request_ended();
}

void AuthCall::finish() {
  if (attempt_.is_active()) attempt_.finish(status_);
}

void AuthCall::start() {
  begin_try();
}

void AuthCall::begin_try() {
  phase_ = Phase::asking;
  on_attempt_started(attempt_.start(*pool_, {}, true));
}

void AuthCall::on_attempt_started(Attempt::Started started) {
  switch (started) {
    case Attempt::Started::ready:
      on_attempt_ready();
      return;
    case Attempt::Started::pending:
      return;
    case Attempt::Started::nobody:
      wait_for_member();
      return;
    case Attempt::Started::failed:
      fail(attempt_.error());
      return;
  }
}

void AuthCall::on_attempt_ready() {
  if (is_host_ours_ || !question_.fields.has(HeaderId::host)) {
    is_host_ours_ = true;
    const std::string_view name = question_.arena->copy(attempt_.member()->name);
    if (!question_.fields.set(HeaderId::host, name)) {
      fail({EndReason::rejected_header_size, Side::client, Retry::no, "too many fields"});
      return;
    }
  }
  attempt_.stream().send_head(question_, true);
}

// ---- the answer ----

void AuthCall::on_response_head(http::Head& head, bool end) {
  if (phase_ != Phase::asking || head.is_interim()) return;
  if (wants_other_answer(head.status)) {
    status_ = head.status;
    phase_ = Phase::retrying;
    attempt_.ignore_answer(end);
    loop().defer(*this);
    return;
  }
  give_retry();
  status_ = head.status;
  if (head.status < 200 || head.status > 299) {
    phase_ = Phase::denied;
    exchange_->on_auth_denied(head, end);
    return;
  }
  phase_ = Phase::granted;
  if (!exchange_->take_auth_fields(head.fields)) {
    fail({EndReason::rejected_header_size, Side::client, Retry::no, "too many fields"});
    return;
  }
  if (end) loop().defer(*this);
}

void AuthCall::on_response_body(std::span<const char> bytes, bool end) {
  if (phase_ == Phase::denied) exchange_->on_denial_body(bytes, end);
  if (phase_ != Phase::granted || is_cut_) return;
  dropped_ += bytes.size();
  if (!end && dropped_ <= kDroppedMax) return;
  if (!end) {
    is_cut_ = true;
    attempt_.ignore_answer(false);
  }
  loop().defer(*this);
}

void AuthCall::on_response_trailers(const http::HeaderBlock& trailers) {
  if (phase_ == Phase::denied) exchange_->on_denial_trailers(trailers);
  if (phase_ == Phase::granted && !is_cut_) loop().defer(*this);
}

void AuthCall::on_turn_end() {
  if (phase_ == Phase::retrying) {
    attempt_.drop(status_);
    begin_try();
    return;
  }
  if (is_cut_) {
    attempt_.drop(status_);
  } else {
    attempt_.finish(status_);
  }
  exchange_->on_auth_granted();  // which gives this back
}

void AuthCall::fail(Error why) {
  give_retry();
  exchange_->on_auth_failed(why);
}

// ---- tries: as exchange_retry.cc has them, of a request that may always be sent again ----

std::uint64_t AuthCall::window_left_ms() {
  const std::uint64_t window = base::whole_ms(pool_->settings().retry.window);
  const std::uint64_t passed = (loop().now_ns() - started_ns_) / base::kNsPerMs;
  return passed < window ? window - passed : 0;
}

bool AuthCall::may_try_again(const Error& why) {
  const conf::Retry& rule = pool_->settings().retry;
  if (phase_ != Phase::asking || attempt_.tries() >= Attempt::kTriesMax) return false;
  if (attempt_.was_stale()) return true;
  const bool is_unsent = why.retry == Retry::unsent;
  const bool is_reset =
      why.reason == EndReason::upstream_reset || why.reason == EndReason::upstream_tls;
  const bool is_asked_for = (is_unsent && rule.on_connect) || (is_reset && rule.on_reset) ||
                            (why.reason == EndReason::upstream_timeout && rule.on_timeout);
  if (!is_asked_for || why.retry == Retry::no || window_left_ms() == 0) return false;
  if (is_unsent) return true;
  costs_retry_ = true;
  return ++sends_ < rule.attempts;
}

void AuthCall::on_attempt_failed(Error why) {
  give_retry();
  if (!may_try_again(why)) {
    fail(why);
  } else if (costs_retry_ && !take_retry()) {
    wait_for_budget();
  } else {
    begin_try();
  }
}

// Only where somebody else is there: else the answer is given as it is.
bool AuthCall::wants_other_answer(std::uint16_t status) {
  const conf::Retry& rule = pool_->settings().retry;
  if (!std::ranges::binary_search(rule.on_status, status) || window_left_ms() == 0) return false;
  if (attempt_.tries() >= Attempt::kTriesMax || ++sends_ >= rule.attempts) return false;
  costs_retry_ = true;
  return attempt_.has_other() && take_retry();
}

void AuthCall::wait_for_member() {
  give_retry();
  const std::uint64_t left =
      std::min(window_left_ms(), base::whole_ms(pool_->settings().retry.pause));
  if (left > 0 && attempt_.wait(WaitFor::member, left)) return;
  fail(attempt_.error());
}

void AuthCall::wait_for_budget() {
  const std::uint64_t left = window_left_ms();
  if (left > 0 && attempt_.wait(WaitFor::budget, left)) return;
  fail(attempt_.error());
}

void AuthCall::on_try_again(WaitFor waited_for, bool is_due) {
  if (window_left_ms() == 0) {
    fail(attempt_.error());
    return;
  }
  if (waited_for == WaitFor::member && !attempt_.has_untried()) {
    const std::uint64_t left = is_due ? 0 : std::min(attempt_.pause_left_ms(), window_left_ms());
    if (left > 0 && attempt_.wait(WaitFor::member, left)) return;
    attempt_.forget_tried();
  }
  if (costs_retry_ && !take_retry()) {
    wait_for_budget();
    return;
  }
  begin_try();
}

bool AuthCall::take_retry() {
  if (!holds_retry_) holds_retry_ = pool_->take_retry();
  return holds_retry_;
}

void AuthCall::give_retry() {
  if (!holds_retry_) return;
  holds_retry_ = false;
  pool_->give_retry();
}

net::Loop& AuthCall::loop() {
  return exchange_->loop();
}
MetricsShard& AuthCall::metrics() {
  return exchange_->metrics();
}
http::ClientInfo AuthCall::client_info() const {
  return exchange_->client_info();
}

}  // namespace portunus::proxy
