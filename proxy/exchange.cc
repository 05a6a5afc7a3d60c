#include "proxy/exchange.h"

#include <algorithm>
#include <cstring>

#include "base/hash.h"
#include "http/cookie.h"
#include "http/forwarding.h"
#include "http/request_id.h"
#include "proxy/header_edit.h"
#include "proxy/rewrite.h"

namespace portunus::proxy {

using base::EndReason;
using base::Error;
using base::Retry;
using base::Side;
using http::BodyKind;
using http::HeaderId;

Exchange::Exchange(ExchangeContext& context,
                   LocalGeneration& generation,
                   http::Stream& client,
                   const net::Address& peer,
                   ListenerKey listener)
    : context_(&context),
      client_(&client),
      generation_(&generation),
      attempt_(*this),
      pending_(context.loop.chunks()),
      total_deadline_(this, [](void* self) { static_cast<Exchange*>(self)->on_total_deadline(); }),
      peer_(peer),
      listener_(listener.index),
      listener_id_(listener.id),
      started_ns_(context.loop.now_ns()) {
  ++context.running;
  context.metrics.exchange_started(listener.id);
}

// ---- the request ----

void Exchange::on_head(http::Head& head, bool end) {
  request_ = &head;
  request_done_ = end;
  original_path_ = head.path;
  identify_client();
  const RouteMatch match = generation_->shared->routes.find(listener_, head);
  route_ = match.route;
  if (route_ == nullptr) {
    reply_error({EndReason::rejected_no_route, Side::client, Retry::no, "no route matches"});
    return;
  }
  body_bytes_max_ = route_->body_bytes_max;
  if (body_bytes_max_ != 0 && head.body == BodyKind::length &&
      head.content_length > body_bytes_max_) {
    reply_error({EndReason::rejected_body_size, Side::client, Retry::no, "body too large"});
    return;
  }
  switch (route_->action) {
    case RouteAction::forward:
      forward(match);
      return;
    case RouteAction::redirect:
      reply_redirect(match);
      return;
    case RouteAction::respond:
      reply_fixed(match);
      return;
  }
}

// Who asks, and under which id: what a peer claims counts only when the configuration trusts it.
void Exchange::identify_client() {
  base::Arena& arena = *request_->arena;
  char text[net::Address::kTextMax];
  peer_text_ = arena.copy({text, peer_.write_ip(text)});
  client_ip_ = peer_text_;
  const net::CidrSet& trusted = generation_->shared->trusted;
  is_peer_trusted_ = !trusted.empty() && trusted.contains(peer_);
  if (is_peer_trusted_) {
    client_ip_ = http::find_client(request_->fields, peer_text_, [&](std::string_view ip) {
      const auto address = net::Address::parse_ip(ip, 0);
      return address && trusted.contains(*address);
    });
    const std::string_view given = request_->fields.value_of(HeaderId::x_request_id);
    if (http::is_request_id(given)) request_id_ = given;
  }
  if (request_id_.empty()) {
    char* id = arena.take(http::kRequestIdSize);
    http::write_request_id(id);
    request_id_ = {id, http::kRequestIdSize};
  }
}

void Exchange::forward(const RouteMatch& match) {
  const Generation& generation = *generation_->shared;
  const std::size_t share = choose_share(route_->forward(), route_->weight_sum, context_->random);
  const std::size_t pool_index = route_->forward().shares[share].pool;
  pool_ = generation_->pools[pool_index];
  pool_id_ = generation.pool_ids[pool_index];
  key_ = balance_key();
  const http::Sender sender{peer_text_,  client_ip_,       "http",
                            request_id_, is_peer_trusted_, generation.model->forwarded_header};
  bool fits = http::forward_request(*request_, sender, *request_->arena);
  const std::string& host = pool_->settings().host;
  if (!host.empty()) fits = fits && request_->fields.set(HeaderId::host, host);
  fits = fits && apply_header_changes(route_->request_headers, request_->fields);
  if (!fits) {
    reply_error({EndReason::rejected_header_size, Side::client, Retry::no, "too many fields"});
    return;
  }
  request_->path = upstream_path(match, *request_, *request_->arena);
  const std::uint64_t total_ms =
      route_->has_total ? route_->total_ms
                        : static_cast<std::uint64_t>(pool_->settings().timeouts.total.count());
  if (total_ms > 0) loop().timers().arm(total_deadline_, total_ms);
  phase_ = Phase::proxying;
  start_attempt(EndReason::ok);
}

std::uint64_t Exchange::balance_key() const {
  const conf::Pool& settings = pool_->settings();
  if (settings.balance != conf::Balance::consistent_hash) return 0;
  switch (settings.hash_on.source) {
    case conf::HashSource::client_ip:
      return base::stable_hash(client_ip_);
    case conf::HashSource::header: {
      const std::size_t at = request_->fields.find(settings.hash_on.name);
      if (at == http::HeaderBlock::kNone) return base::stable_hash(client_ip_);
      return base::stable_hash(request_->fields.field(at).value());
    }
    case conf::HashSource::cookie: {
      const std::string_view value =
          http::cookie_value(request_->fields.value_of(HeaderId::cookie), settings.hash_on.name);
      return base::stable_hash(value.empty() ? client_ip_ : value);
    }
    case conf::HashSource::path:
      return base::stable_hash(request_->path);
    case conf::HashSource::host:
      return base::stable_hash(request_->host);
  }
  return 0;
}

void Exchange::on_body(std::span<const char> bytes, bool end) {
  if (phase_ == Phase::tunnel) {
    bytes_in_ += bytes.size();
    if (end) client_half_ended_ = true;
    if (client_half_ended_ && member_half_ended_) finish(EndReason::ok);
    attempt_.stream().send_body(bytes, end);
    attempt_.touch();
    throttle_client();
    return;
  }
  if (phase_ != Phase::proxying) return;
  bytes_in_ += bytes.size();
  if (body_bytes_max_ != 0 && bytes_in_ > body_bytes_max_) {
    fail({EndReason::rejected_body_size, Side::client, Retry::no, "body too large"});
    return;
  }
  if (end) request_done_ = true;
  if (attempt_.is_ready()) {
    if (!bytes.empty()) request_used_ = true;
    attempt_.stream().send_body(bytes, end);
    attempt_.touch();
    throttle_client();
    return;
  }
  pending_.append(bytes);
  if (pending_.size() >= http::kUnsentHigh) pause_client(true);
}

void Exchange::on_trailers(const http::HeaderBlock& trailers) {
  if (phase_ != Phase::proxying) return;
  request_done_ = true;
  if (attempt_.is_ready()) {
    request_used_ = true;
    attempt_.stream().send_trailers(trailers);
    attempt_.touch();
  } else {
    pending_trailers_ = &trailers;
  }
}

void Exchange::throttle_client() {
  if (attempt_.stream().unsent() > http::kUnsentHigh) pause_client(true);
}

void Exchange::pause_client(bool pause) {
  if (client_paused_ == pause) return;
  client_paused_ = pause;
  client_->set_reading(!pause);
}

// The client took what it had not read: the member may go on.
void Exchange::on_drained() {
  if (!member_paused_ || !attempt_.is_ready()) return;
  member_paused_ = false;
  attempt_.set_reading(true);
}

// The member took what it had not read: the client may go on.
void Exchange::on_upstream_drained() {
  pause_client(false);
}

void Exchange::on_reset(Error why) {
  if (phase_ == Phase::finished) return;
  if (status_ == 0) status_ = base::status_of(why.reason);
  finish(why.reason);
}

// ---- attempts ----

// `reason`: why there is another try.
void Exchange::start_attempt(EndReason reason) {
  // A body is gone once it has been sent, whatever the method.
  const bool is_repeatable =
      http::is_idempotent(request_->method) && request_->body == BodyKind::none;
  const Attempt::Started started = attempt_.start(*pool_, key_, is_repeatable);
  // Only when there is somebody to try.
  if (started != Attempt::Started::failed && retry_reason_ == EndReason::ok) retry_reason_ = reason;
  switch (started) {
    case Attempt::Started::ready:
      on_attempt_ready();
      return;
    case Attempt::Started::pending:
      return;
    case Attempt::Started::failed:
      fail(attempt_.error());
      return;
  }
}

void Exchange::on_attempt_ready() {
  if (phase_ == Phase::finished) return;
  http::Stream& member = attempt_.stream();
  if (!request_->fields.has(HeaderId::host)) {
    // HTTP/1.0 clients need not say it, members may insist.
    if (!request_->fields.add(HeaderId::host, attempt_.member()->name)) {
      fail({EndReason::rejected_header_size, Side::client, Retry::no, "too many fields"});
      return;
    }
  }
  const bool ends = request_done_ && pending_.empty() && pending_trailers_ == nullptr;
  member.send_head(*request_, ends);
  while (!pending_.empty()) {
    const std::span<const char> front = pending_.front();
    const bool last = front.size() == pending_.size();
    request_used_ = true;
    member.send_body(front, last && request_done_ && pending_trailers_ == nullptr);
    pending_.drain(front.size());
  }
  if (pending_trailers_ != nullptr) {
    request_used_ = true;
    member.send_trailers(*std::exchange(pending_trailers_, nullptr));
  }
  if (client_paused_ && member.unsent() <= http::kUnsentHigh) pause_client(false);
}

bool Exchange::may_try_again(const Error& why) const {
  if (response_begun_ || request_used_ || attempt_.tries() >= Attempt::kTriedMax) return false;
  switch (why.retry) {
    case Retry::no:
      return false;
    case Retry::unsent:
      return true;
    case Retry::idempotent:
      return http::is_idempotent(request_->method);
  }
  return false;
}

void Exchange::on_attempt_failed(Error why) {
  if (phase_ == Phase::finished) return;
  if (!may_try_again(why)) {
    fail(why);
    return;
  }
  start_attempt(why.reason);
}

// The request cannot be answered by a member (any more).
void Exchange::fail(Error why) {
  if (retry_reason_ != EndReason::ok && !response_begun_) {
    metrics().retry(pool_id_, retry_reason_, RetryResult::failure);
  }
  if (!response_begun_) {
    reply_error(why);
    return;
  }
  finish(why.reason);
  client_->reset(why);
}

// ---- the answer ----

void Exchange::on_response_head(http::Head& head, bool end) {
  if (phase_ != Phase::proxying) return;
  const bool is_interim = head.is_interim();
  if (head.status == 100 && !request_->expects_continue) return;
  bool fits = http::forward_response(head, *head.arena);
  if (is_interim) {
    if (fits) client_->send_head(head, false);
    return;
  }
  fits = fits && apply_header_changes(route_->response_headers, head.fields);
  if (!fits) {
    fail({EndReason::upstream_protocol, Side::upstream, Retry::no, "too many fields"});
    return;
  }
  if (head.status == 101 && !request_done_) {
    // What the client still sends is the rest of a body, not the other protocol (RFC 9110 section
    // 7.8).
    fail({EndReason::upstream_protocol, Side::upstream, Retry::no, "101 before the request's end"});
    return;
  }
  if (retry_reason_ != EndReason::ok) {
    metrics().retry(pool_id_, retry_reason_, RetryResult::success);
  }
  upstream_status_ = status_ = head.status;
  first_byte_ns_ = loop().now_ns();
  response_begun_ = true;
  if (head.status == 101) {
    begin_tunnel();
  } else if (end) {
    finish(EndReason::ok);
  }
  client_->send_head(head, end);
}

void Exchange::begin_tunnel() {
  phase_ = Phase::tunnel;
  total_deadline_.disarm();
  is_websocket_ = request_->upgrade_token == "websocket";
  metrics().upgraded_started(pool_id_, is_websocket_ ? UpgradeKind::websocket : UpgradeKind::other);
  attempt_.enter_tunnel();
  is_upgraded_ = true;
}

void Exchange::on_response_body(std::span<const char> bytes, bool end) {
  if (phase_ == Phase::finished) return;
  bytes_out_ += bytes.size();
  if (phase_ == Phase::tunnel) {
    if (end) member_half_ended_ = true;
    if (client_half_ended_ && member_half_ended_) finish(EndReason::ok);
  } else if (end) {
    finish(EndReason::ok);
  }
  client_->send_body(bytes, end);
  if (phase_ != Phase::finished && client_->unsent() > http::kUnsentHigh && !member_paused_) {
    member_paused_ = true;
    attempt_.set_reading(false);
  }
}

void Exchange::on_response_trailers(const http::HeaderBlock& trailers) {
  if (phase_ != Phase::proxying) return;
  finish(EndReason::ok);
  client_->send_trailers(trailers);
}

// ---- the end ----

void Exchange::on_total_deadline() {
  if (phase_ != Phase::proxying) return;
  fail({EndReason::upstream_timeout, Side::upstream, Retry::no, "the request took too long"});
}

// The rest happens at the end of the turn, before the client's stream turns to its next request:
// hence called before the command that ends the answer.
void Exchange::finish(EndReason reason) {
  if (phase_ == Phase::finished) return;
  phase_ = Phase::finished;
  end_reason_ = reason;
  total_deadline_.disarm();
  loop().defer(*this);
}

void Exchange::on_turn_end() {
  if (is_upgraded_) {
    metrics().upgraded_ended(pool_id_, is_websocket_ ? UpgradeKind::websocket : UpgradeKind::other);
  }
  if (attempt_.is_active()) attempt_.finish(upstream_status_);
  write_record();
  --context_->running;
  context_->metrics.exchange_ended(listener_id_);
  context_->exchanges.destroy(this);
}

void Exchange::write_record() {
  ExchangeRecord record;
  record.listener = listener_id_;
  record.route = route_;
  if (pool_ != nullptr) {
    record.pool = pool_->name();
    record.pool_id = pool_id_;
  }
  const Attempt::Times& times = attempt_.times();
  record.member = attempt_.member();
  request_->path = original_path_;
  record.request = request_;
  record.request_id = request_id_;
  record.peer = peer_;
  record.client_ip = client_ip_;
  record.status = status_;
  record.upstream_status = upstream_status_;
  record.attempts = attempt_.tries();
  record.upgraded = is_upgraded_;
  record.end_reason = end_reason_;
  record.retry_reason = retry_reason_;
  record.bytes_in = bytes_in_;
  record.bytes_out = bytes_out_;
  record.started_ns = started_ns_;
  record.queued_ns = times.queued_ns;
  record.connect_ns = times.connect_ns;
  record.sent_ns = times.sent_ns;
  record.upstream_head_ns = times.head_ns;
  record.first_byte_ns = first_byte_ns_;
  record.ended_ns = loop().now_ns();
  record.generation = generation_->shared->number;
  context_->metrics.record(record);
  if (context_->access_log.is_on()) {
    context_->access_log.write(record, generation_->shared->log_names);
  }
}

}  // namespace portunus::proxy
