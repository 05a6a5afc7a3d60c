// Answers that the exchange makes itself: errors, redirects, fixed ones.
#include "http/grpc.h"
#include "http/reply.h"
#include "proxy/cors.h"
#include "proxy/exchange.h"
#include "proxy/header_edit.h"
#include "proxy/rate_limiter.h"
#include "proxy/rewrite.h"
#include "proxy/server_timing.h"

namespace portunus::proxy {

using base::EndReason;
using base::Error;
using base::Retry;
using base::Side;
using http::HeaderId;

void Exchange::reply_error(Error why, std::uint16_t status) {
  finish(why.reason);
  context_->reply.arena = request_->arena;
  const std::string_view body =
      http::make_error_reply(why, status, request_, request_id_, context_->reply);
  if (why.reason == EndReason::rate_limited) {
    static_cast<void>(
        route_->limiter->add_retry_after(rate_, *request_->arena, context_->reply.fields));
  }
  if (why.reason == EndReason::rejected_credentials) {
    context_->reply.fields.add(HeaderId::www_authenticate, route_->basic_auth->challenge);
  }
  send_reply(body);
}

void Exchange::reply_redirect(const RouteMatch& match) {
  const conf::Redirect& redirect = route_->redirect();
  const std::string_view location = redirect_location(match, *request_, scheme_, *request_->arena);
  if (location.empty()) {
    reply_error({EndReason::rejected_host, Side::client, Retry::no, "the redirect needs a Host"});
    return;
  }
  finish(EndReason::ok);
  http::Head& reply = context_->reply;
  reply.clear();
  reply.arena = request_->arena;
  reply.status = redirect.code;
  reply.fields.add(HeaderId::location, location);
  reply.body = http::BodyKind::length;
  reply.content_length = 0;
  send_reply({});
}

void Exchange::reply_fixed(const RouteMatch& /*match*/) {
  const conf::Respond& respond = route_->respond();
  finish(EndReason::ok);
  http::Head& reply = context_->reply;
  reply.clear();
  reply.arena = request_->arena;
  reply.status = respond.status;
  if (!respond.body.empty()) reply.fields.add(HeaderId::content_type, respond.content_type);
  for (const conf::HeaderField& field : respond.headers) {
    reply.fields.add(field.name, field.value);
  }
  reply.body = http::BodyKind::length;
  reply.content_length = respond.body.size();
  send_reply(respond.body);
}

// The head is in context_->reply.
void Exchange::send_reply(std::string_view body) {
  http::Head& reply = context_->reply;
  // When there is no room for a configured field, the answer goes out without it.
  if (tells_rate_) {
    static_cast<void>(route_->limiter->add_rate_fields(rate_, *request_->arena, reply.fields));
  }
  if (route_ != nullptr && route_->tells_timing) {
    static_cast<void>(add_timing(*request_->arena, reply.fields));
  }
  if (route_ != nullptr)
    static_cast<void>(apply_header_changes(route_->response_headers, reply.fields));
  if (route_ != nullptr && route_->cors != nullptr) {
    static_cast<void>(apply_cors(*route_->cors, cors_origin_, reply.fields));
    if (allows_preflight_) static_cast<void>(add_preflight_fields(*route_->cors, reply.fields));
  }
  status_ = reply.status;
  first_byte_ns_ = loop().now_ns();
  response_begun_ = true;
  bytes_out_ += body.size();
  client_->send_head(reply, body.empty());
  if (!body.empty()) client_->send_body({body.data(), body.size()}, true);
}

bool Exchange::add_timing(base::Arena& arena, http::HeaderBlock& fields) const {
  const Attempt::Times& times = attempt_.times();
  const ServerTiming timing{
      .queue_ns = times.queued_ns,
      .connect_ns = times.connect_ns,
      .tls_ns = times.tls_ns,
      .member_ns = times.head_ns == 0 ? 0 : base::between(times.sent_ns, times.head_ns),
      .total_ns = base::between(started_ns_, context_->loop.now_ns()),
      .tries = attempt_.tries(),
  };
  return add_server_timing(timing, arena, fields);
}

// In the middle of an answer of gRPC: unlike a reset, trailers can tell why.
void Exchange::end_call(Error why) {
  http::HeaderBlock& trailers = context_->reply.fields;
  trailers.clear();
  static_cast<void>(http::add_grpc_status(why, 0, *request_->arena, trailers));
  client_->send_trailers(trailers);
}

}  // namespace portunus::proxy
