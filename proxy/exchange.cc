#include "proxy/exchange.h"

#include <algorithm>
#include <cstring>

#include "http/grammar.h"
#include "http/grpc.h"
#include "http/reply.h"
#include "net/tls_session.h"
#include "proxy/auth_fields.h"
#include "proxy/balance_key.h"
#include "proxy/client_fields.h"
#include "proxy/compression.h"
#include "proxy/cors.h"
#include "proxy/header_edit.h"
#include "proxy/rate_limiter.h"
#include "proxy/rewrite.h"
#include "proxy/split.h"

namespace portunus::proxy {

using base::EndReason;
using base::Error;
using base::Retry;
using base::Side;
using http::BodyKind;
using http::HeaderId;

namespace {

// "name/version" or "name" (RFC 9110 section 7.8).
bool is_same_protocol(std::string_view a, std::string_view b) {
  return std::ranges::equal(a.substr(0, a.find('/')), b.substr(0, b.find('/')), {}, http::to_lower,
                            http::to_lower);
}

}  // namespace

Exchange::Exchange(ExchangeContext& context,
                   LocalGeneration& generation,
                   http::Stream& client,
                   const http::ClientInfo& client_info,
                   ListenerKey listener)
    : context_(&context),
      client_(&client),
      generation_(&generation),
      attempt_(*this),
      body_(context.loop.chunks()),
      total_deadline_(this, [](void* self) { static_cast<Exchange*>(self)->on_total_deadline(); }),
      who_(client_info),
      listener_(listener.index),
      listener_id_(listener.id),
      started_ns_(context.loop.now_ns()) {
  if (who_.tls != nullptr) scheme_ = "https";
  ++context.running;
  context.metrics.exchange_started(listener.id);
}

// ---- the request ----

void Exchange::on_head(http::Head& head, bool end) {
  request_ = &head;
  request_done_ = end;
  original_path_ = head.path;
  identify_client();
  if (who_.tls != nullptr && !who_.tls->may_serve(head.host)) {
    reply_error({EndReason::rejected_misdirected, Side::client, Retry::no,
                 "the connection was opened for another host"});
    return;
  }
  const RouteMatch match = find_route(head);
  route_ = match.route;
  if (route_ == nullptr) {
    reply_error({EndReason::rejected_no_route, Side::client, Retry::no, "no route matches"});
    return;
  }
  if (route_->cors != nullptr && !is_asked_of_member_)
    cors_origin_ = head.fields.value_of(HeaderId::origin);
  if (!admit()) return;
  if (is_preflight_) {
    reply_preflight();
    return;
  }
  body_bytes_max_ = route_->body_bytes_max;
  if (body_bytes_max_ != 0 && head.body == BodyKind::length &&
      head.content_length > body_bytes_max_) {
    reply_error({EndReason::rejected_body_size, Side::client, Retry::no, "body too large"});
    return;
  }
  if (route_->basic_auth != nullptr && !authenticate(match)) return;
  go_on(match);
}

// With who is known by name and password, where that is asked for.
void Exchange::go_on(const RouteMatch& match) {
  if (route_->forward_auth != nullptr) {
    ask_service(match);
  } else {
    act(match);
  }
}

void Exchange::act(const RouteMatch& match) {
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

std::size_t Exchange::choose_pool() const {
  const conf::Forward& forward = route_->forward();
  if (forward.shares.size() == 1) return forward.shares.front().pool;
  const std::size_t known = pool_of_cookie();
  if (known != Sticky::kNobody) return known;
  const net::Address believed = client_address();
  const std::uint64_t point = split_point(
      forward.split_by, *request_, believed.is_set() ? believed : who_.source, context_->random);
  return forward.shares[choose_share(forward, route_->weight_sum, point)].pool;
}

http::Sender Exchange::sender() const {
  return {peer_text_,  client_ip_,       who_.tls == nullptr ? "http" : "https",
          request_id_, is_peer_trusted_, generation_->shared->model->forwarded_header};
}

void Exchange::forward(const RouteMatch& match) {
  const Generation& generation = *generation_->shared;
  if (route_->auth_fields != nullptr && route_->forward_auth == nullptr)
    remove_auth_fields(*route_->auth_fields, request_->fields);
  const std::size_t pool_index = choose_pool();
  pool_ = generation_->pools[pool_index];
  pool_id_ = generation.pool_ids[pool_index];
  affinity_.key = balance_key(pool_->settings(), *request_, client_ip_);
  if (pool_->sticky() != nullptr) find_own_member();
  if (route_->compression != nullptr) coding_ = wanted_coding(*route_->compression, *request_);
  bool fits = http::forward_request(*request_, sender(), *request_->arena);
  const std::string& host = pool_->settings().host;
  if (!host.empty()) fits = fits && request_->fields.set(HeaderId::host, host);
  if (route_->client_rule != nullptr) fits = fits && add_client_fields(*who_.tls, request_->fields);
  if (route_->basic_auth != nullptr || !route_->user_field.empty())
    fits = fits && tell_user(request_->fields);
  fits = fits && apply_header_changes(route_->request_headers, request_->fields);
  if (!fits) {
    reply_error({EndReason::rejected_header_size, Side::client, Retry::no, "too many fields"});
    return;
  }
  request_->path = upstream_path(match, *request_, *request_->arena);
  const std::uint64_t total_ms = total_limit_ms();
  if (total_ms > 0) loop().timers().arm(total_deadline_, total_ms);
  phase_ = Phase::proxying;
  pool_->request_began();
  is_counted_ = true;
  begin_keeping_body();
  start_attempt(EndReason::ok);
}

// The lesser of what is configured and what the client of a gRPC call waits; 0: without an end.
std::uint64_t Exchange::total_limit_ms() const {
  const std::uint64_t ours =
      route_->has_total ? route_->total_ms
                        : static_cast<std::uint64_t>(pool_->settings().timeouts.total.count());
  const auto theirs = http::grpc_timeout_ms(*request_);
  if (!theirs) return ours;
  const std::uint64_t least = std::max<std::uint64_t>(*theirs, 1);  // 0: it waits no longer
  return ours == 0 ? least : std::min(ours, least);
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
  if (!takes_request()) return;
  bytes_in_ += bytes.size();
  if (body_bytes_max_ != 0 && bytes_in_ > body_bytes_max_) {
    fail({EndReason::rejected_body_size, Side::client, Retry::no, "body too large"});
    return;
  }
  if (end) request_done_ = true;
  if (keeps_body_) keep_body(bytes);
  if (attempt_.is_ready()) {
    if (!bytes.empty() && !keeps_body_) request_used_ = true;
    attempt_.stream().send_body(bytes, end);
    attempt_.touch();
    throttle_client();
    return;
  }
  if (!keeps_body_) body_.append(bytes);
  if (body_.size() >= http::kUnsentHigh) pause_client(true);
}

void Exchange::on_trailers(const http::HeaderBlock& trailers) {
  if (!takes_request()) return;
  if (names_user(trailers)) {
    fail({EndReason::rejected_header, Side::client, Retry::no,
          "a trailer that says who the user is"});
    return;
  }
  request_done_ = true;
  trailers_ = &trailers;
  if (!attempt_.is_ready()) return;
  attempt_.stream().send_trailers(trailers);
  attempt_.touch();
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
  if (member_paused_ && phase_ == Phase::refusing) {
    member_paused_ = false;
    auth_call_->set_reading(true);
  }
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
  if (status_ == 0) status_ = http::error_status(why, *request_);
  finish(why.reason);
}

void Exchange::on_attempt_ready() {
  if (phase_ == Phase::finished) return;
  http::Stream& member = attempt_.stream();
  if (is_host_ours_ || !request_->fields.has(HeaderId::host)) {
    // HTTP/1.0 clients need not say it, members may insist. Each try has its own, and a member may be
    // gone before the request is.
    is_host_ours_ = true;
    const std::string_view name = request_->arena->copy(attempt_.member()->name);
    if (!request_->fields.set(HeaderId::host, name)) {
      fail({EndReason::rejected_header_size, Side::client, Retry::no, "too many fields"});
      return;
    }
  }
  const bool ends = request_done_ && body_.empty() && trailers_ == nullptr;
  member.send_head(*request_, ends);
  send_kept_body();
  if (trailers_ != nullptr) member.send_trailers(*trailers_);
  if (client_paused_ && member.unsent() <= http::kUnsentHigh) pause_client(false);
}

// The request cannot be answered by a member (any more).
void Exchange::fail(Error why) {
  if (retry_reason_ != EndReason::ok && !response_begun_) {
    metrics().retry(pool_id_, retry_reason_, RetryResult::failure);
  }
  if (!response_begun_) {
    reply_error(why, why.reason == EndReason::upstream_status ? dropped_status_ : std::uint16_t{0});
    return;
  }
  finish(why.reason);
  if (is_grpc_answer_) {
    end_call(why);
  } else {
    client_->reset(why);
  }
}

// ---- the answer ----

// What is wrong with the answer to a client that asked for another protocol; null: nothing.
const char* Exchange::upgrade_fault(const http::Head& head) const {
  if (request_->insists_on_upgrade && head.status >= 200 && head.status < 300)
    return "the upgrade was not granted";
  if (head.status != 101) return nullptr;
  // What the client still sends is the rest of a body, not the other protocol (RFC 9110 section
  // 7.8).
  if (!request_done_) return "101 before the request's end";
  return is_same_protocol(head.upgrade_token, request_->upgrade_token)
             ? nullptr
             : "101 to another protocol than the one offered";
}

void Exchange::on_response_head(http::Head& head, bool end) {
  if (phase_ != Phase::proxying) return;
  const bool is_interim = head.is_interim();
  if (head.status == 100 && !request_->expects_continue) return;
  if (head.status >= 400 && wants_other_answer(head, end)) return;
  bool fits = http::forward_response(head, *head.arena);
  if (is_interim) {
    if (!fits) return;
    interim_sent_ = true;
    client_->send_head(head, false);
    return;
  }
  if (tells_rate_) fits = fits && route_->limiter->add_rate_fields(rate_, *head.arena, head.fields);
  if (route_->tells_timing) static_cast<void>(add_timing(*head.arena, head.fields));
  fits = fits && apply_header_changes(route_->response_headers, head.fields);
  if (route_->cors != nullptr && !is_asked_of_member_)
    fits = fits && apply_cors(*route_->cors, cors_origin_, head.fields);
  if (!fits) {
    fail({EndReason::upstream_protocol, Side::upstream, Retry::no, "too many fields"});
    return;
  }
  if (sticky_ != StickyResult::none) name_member(head);
  if (const char* const fault = upgrade_fault(head); fault != nullptr) {
    fail({EndReason::upstream_protocol, Side::upstream, Retry::no, fault});
    return;
  }
  if (retry_reason_ != EndReason::ok) {
    const bool is_better =
        !std::ranges::binary_search(pool_->settings().retry.on_status, head.status);
    metrics().retry(pool_id_, retry_reason_,
                    is_better ? RetryResult::success : RetryResult::failure);
  }
  if (route_->compression != nullptr) begin_compression(head, end);
  upstream_status_ = status_ = head.status;
  is_grpc_answer_ =
      http::is_grpc_call(*request_) && http::is_grpc(head.fields.value_of(HeaderId::content_type));
  first_byte_ns_ = loop().now_ns();
  response_begun_ = true;
  let_go_of_body();
  give_retry();  // an answer may take for ever: a stream of events, a tunnel
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
  is_websocket_ = http::is_same_ignoring_case(request_->upgrade_token, "websocket");
  metrics().upgraded_started(pool_id_, is_websocket_ ? UpgradeKind::websocket : UpgradeKind::other);
  attempt_.enter_tunnel();
  is_upgraded_ = true;
}

void Exchange::on_response_body(std::span<const char> bytes, bool end) {
  if (phase_ == Phase::finished) return;
  if (encoder_ != nullptr) {
    send_compressed(bytes, end);
    return;
  }
  bytes_out_ += bytes.size();
  if (phase_ == Phase::tunnel) {
    if (end) member_half_ended_ = true;
    if (client_half_ended_ && member_half_ended_) finish(EndReason::ok);
  } else if (end) {
    finish(EndReason::ok);
  }
  client_->send_body(bytes, end);
  if (phase_ != Phase::finished) throttle_member();
}

void Exchange::throttle_member() {
  if (member_paused_ || client_->unsent() <= http::kUnsentHigh) return;
  member_paused_ = true;
  attempt_.set_reading(false);
}

void Exchange::on_response_trailers(const http::HeaderBlock& trailers) {
  if (phase_ != Phase::proxying) return;
  if (encoder_ != nullptr && !encode({}, http::Encoder::Until::ended)) return;
  finish(EndReason::ok);
  client_->send_trailers(trailers);
}

}  // namespace portunus::proxy
