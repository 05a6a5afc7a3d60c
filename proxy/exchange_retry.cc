// The tries of one exchange: what may be tried again, when, and what is kept of the request for it.
//
//   failure of a try                 asked for                    costs budget
//   no byte reached the member       `connect`                    no
//   kept connection was closed       (always, once)               no
//   given back unread (HTTP/2)       `connect`                    no
//   broken, or silent for too long   `reset`, `timeout`           yes
//   an answer with a listed status   the status                   yes
//
// Whatever was sent is sent again only when its method allows it, its body is kept, `attempts` is
// not reached and no byte of an answer went to the client. Nothing begins after the window. Another
// member comes first; when there is none, the request waits for one that comes up, or for `every`,
// after which those tried before count again. A place in the budget is waited for rather than
// refused: a member's crash breaks all of its requests at the same moment, and they can all be saved
// one after the other. Where there is an answer to give, it is given instead.
#include <algorithm>
#include <array>
#include <charconv>

#include "base/clock.h"
#include "http/grammar.h"
#include "proxy/exchange.h"

namespace portunus::proxy {

using base::EndReason;
using base::Error;
using base::Retry;
using http::BodyKind;
using http::HeaderId;

namespace {

// Of bodies kept by one thread, for all its requests together. Beyond that they are sent once.
constexpr std::size_t kKeptBytesMax = std::size_t{64} * 1024 * 1024;

// The seconds of a Retry-After field (RFC 9110 section 10.2.3) as milliseconds; 0 when absent or a
// date.
std::uint64_t retry_after_ms(const http::HeaderBlock& fields) {
  const std::string_view value = fields.value_of(HeaderId::retry_after);
  std::uint32_t seconds = 0;
  const auto parsed = std::from_chars(value.data(), value.data() + value.size(), seconds);
  const bool is_number = parsed.ec == std::errc{} && parsed.ptr == value.data() + value.size();
  return is_number ? std::uint64_t{seconds} * 1000 : 0;
}

// Nobody has been tried.
bool is_about_nobody(const Error& error) {
  return error.reason == EndReason::no_healthy_upstream || error.reason == EndReason::breaker_open;
}

}  // namespace

// ---- the body ----

void Exchange::begin_keeping_body() {
  if (request_->body == BodyKind::none) return;
  const conf::Pool& pool = pool_->settings();
  const conf::Retry& rule = pool.retry;
  const bool is_small =
      request_->body == BodyKind::unknown || request_->content_length <= rule.body_buffer;
  // What a member gives back unread is sent again whatever it is.
  keeps_body_ = is_small && rule.attempts > 1 && rule.window.count() > 0 &&
                (may_be_sent_twice() || conf::may_give_back(pool));
  if (!keeps_body_ || body_.empty()) return;
  // It came while the client's password was looked at.
  if (body_.size() > rule.body_buffer || context_->kept_bytes + body_.size() > kKeptBytesMax) {
    keeps_body_ = false;
  } else {
    context_->kept_bytes += body_.size();
  }
}

void Exchange::keep_body(std::span<const char> bytes) {
  const bool fits = body_.size() + bytes.size() <= pool_->settings().retry.body_buffer &&
                    context_->kept_bytes + bytes.size() <= kKeptBytesMax;
  if (fits) {
    body_.append(bytes);
    context_->kept_bytes += bytes.size();
    return;
  }
  context_->kept_bytes -= body_.size();
  keeps_body_ = false;
  if (!attempt_.is_ready()) return;  // what is there has still to be sent
  if (!body_.empty()) request_used_ = true;
  body_.clear();
}

void Exchange::let_go_of_body() {
  if (keeps_body_) context_->kept_bytes -= body_.size();
  keeps_body_ = false;
  body_.clear();
}

// To the attempt that has just become ready.
void Exchange::send_kept_body() {
  http::Stream& member = attempt_.stream();
  const bool ends = request_done_ && trailers_ == nullptr;
  if (keeps_body_) {
    std::array<iovec, 66> parts;  // body_buffer is at most 1 MiB
    const std::size_t count = body_.fill(parts);
    for (std::size_t i = 0; i < count; ++i) {
      const std::span<const char> part(static_cast<const char*>(parts[i].iov_base),
                                       parts[i].iov_len);
      member.send_body(part, ends && i + 1 == count);
    }
    return;
  }
  while (!body_.empty()) {
    const std::span<const char> front = body_.front();
    const bool is_last = front.size() == body_.size();
    request_used_ = true;
    member.send_body(front, ends && is_last);
    body_.drain(front.size());
  }
}

// ---- what may be tried again ----

bool Exchange::may_be_sent_twice() const {
  const auto& methods = pool_->settings().retry.methods;
  if (std::ranges::find(methods, request_->method_text) != methods.end()) return true;
  return request_->fields.find("idempotency-key") != http::HeaderBlock::kNone;
}

// As far as can be told before it is sent: then a kept connection needs no look before its use.
bool Exchange::is_repeatable() const {
  if (!may_be_sent_twice()) return false;
  if (request_->body == BodyKind::none) return true;
  return keeps_body_ && (request_->body == BodyKind::length || request_done_);
}

std::uint64_t Exchange::window_left_ms() const {
  const std::uint64_t window = base::whole_ms(pool_->settings().retry.window);
  const std::uint64_t passed = (context_->loop.now_ns() - started_ns_) / base::kNsPerMs;
  return passed < window ? window - passed : 0;
}

bool Exchange::deny(RetryDenial why) {
  metrics().retry_denied(pool_id_, why);
  return false;
}

// Whether the failure is one that is tried again, and the request can be.
bool Exchange::may_try_again(const Error& why) {
  const conf::Retry& rule = pool_->settings().retry;
  const bool is_begun = response_begun_ || interim_sent_;
  const bool is_unsent = why.retry == Retry::unsent;
  if (attempt_.was_stale() && !is_begun) {
    if (request_used_) return deny(RetryDenial::body);
    return is_unsent || may_be_sent_twice() || deny(RetryDenial::method);
  }
  if (is_unsent && !rule.on_connect) return false;
  if (!is_unsent && !(why.reason == EndReason::upstream_timeout && rule.on_timeout) &&
      !((why.reason == EndReason::upstream_reset || why.reason == EndReason::upstream_tls) &&
        rule.on_reset)) {
    return false;
  }
  if (is_begun) return deny(RetryDenial::started);
  if (why.retry == Retry::no) return false;
  if (window_left_ms() == 0) return deny(RetryDenial::time);
  if (is_unsent) return !request_used_ || deny(RetryDenial::body);
  ++sends_;
  costs_retry_ = true;
  return may_send_again();
}

bool Exchange::may_send_again() {
  if (!may_be_sent_twice()) return deny(RetryDenial::method);
  if (request_used_) return deny(RetryDenial::body);
  return sends_ < pool_->settings().retry.attempts || deny(RetryDenial::attempts);
}

// ---- tries ----

// `reason`: why there is another one.
void Exchange::start_attempt(EndReason reason) {
  const Attempt::Started started = attempt_.start(*pool_, affinity_, is_repeatable());
  // Only when there is somebody to try.
  const bool is_try = started == Attempt::Started::ready || started == Attempt::Started::pending;
  if (is_try && retry_reason_ == EndReason::ok) retry_reason_ = reason;
  on_attempt_started(started);
}

void Exchange::on_attempt_started(Attempt::Started started) {
  if (phase_ == Phase::finished) return;
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
      give_retry();
      fail(attempt_.error());
      return;
  }
}

void Exchange::on_attempt_failed(Error why) {
  if (phase_ == Phase::finished) return;
  give_retry();
  if (attempt_.tries() >= Attempt::kTriesMax || !may_try_again(why)) {
    fail(why);
  } else if (costs_retry_ && !take_retry()) {
    wait_for_budget();
  } else {
    start_attempt(why.reason);
  }
}

void Exchange::wait_for_member() {
  give_retry();
  const conf::Retry& rule = pool_->settings().retry;
  const std::uint64_t left = window_left_ms();
  const std::uint64_t pause = std::max(base::whole_ms(rule.pause), pause_ms_);
  pause_ms_ = 0;
  if (left > 0 && attempt_.wait(WaitFor::member, std::min(left, pause))) return;
  fail(attempt_.error());
}

void Exchange::wait_for_budget() {
  const std::uint64_t left = window_left_ms();
  if (left > 0 && attempt_.wait(WaitFor::budget, left)) return;
  deny(RetryDenial::budget);
  fail(attempt_.error());
}

void Exchange::on_try_again(WaitFor waited_for, bool is_due) {
  if (phase_ == Phase::finished) return;
  const Error& error = attempt_.error();
  if (window_left_ms() == 0) {
    if (!is_about_nobody(error)) {
      deny(waited_for == WaitFor::budget ? RetryDenial::budget : RetryDenial::time);
    }
    fail(error);
    return;
  }
  if (waited_for == WaitFor::member && !attempt_.has_untried()) {
    // Woken for nobody new: those that were tried keep their pause.
    const std::uint64_t left = is_due ? 0 : std::min(attempt_.pause_left_ms(), window_left_ms());
    if (left > 0 && attempt_.wait(WaitFor::member, left)) return;
    attempt_.forget_tried();
  }
  if (costs_retry_ && !take_retry()) {
    wait_for_budget();
    return;
  }
  const EndReason reason = is_about_nobody(error) ? EndReason::ok : error.reason;
  start_attempt(reason);
}

// ---- answers that somebody else might better ----

bool Exchange::wants_other_answer(const http::Head& head, bool end) {
  const conf::Retry& rule = pool_->settings().retry;
  if (!std::ranges::binary_search(rule.on_status, head.status)) return false;
  if (rule.window.count() == 0 || rule.attempts == 1) return false;
  ++sends_;
  if (interim_sent_) return deny(RetryDenial::started);
  if (attempt_.tries() >= Attempt::kTriesMax || !may_send_again()) return false;
  has_other_ = attempt_.has_other();
  pause_ms_ = has_other_ ? 0 : retry_after_ms(head.fields);
  const std::uint64_t pause = has_other_ ? 0 : std::max(base::whole_ms(rule.pause), pause_ms_);
  if (window_left_ms() <= pause) return deny(RetryDenial::time);
  if (!take_retry()) return deny(RetryDenial::budget);
  dropped_status_ = head.status;
  costs_retry_ = true;
  attempt_.ignore_answer(end);
  // The connection is inside its own callback.
  loop().defer(*this);
  return true;
}

void Exchange::try_other_answer() {
  attempt_.drop(dropped_status_);
  if (request_used_) {  // the body has outgrown its buffer meanwhile
    deny(RetryDenial::body);
    fail(attempt_.error());
  } else if (has_other_) {
    start_attempt(EndReason::upstream_status);
  } else {
    wait_for_member();
  }
}

// ---- the budget ----

bool Exchange::take_retry() {
  if (!holds_retry_) holds_retry_ = pool_->take_retry();
  return holds_retry_;
}

void Exchange::give_retry() {
  if (!holds_retry_) return;
  holds_retry_ = false;
  pool_->give_retry();
}

}  // namespace portunus::proxy
