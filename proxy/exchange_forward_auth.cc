// Who may come in, as a service says that is asked about each request (`forward_auth`). The client's
// body waits meanwhile.
#include "http/forwarding.h"
#include "http/grpc.h"
#include "proxy/auth_fields.h"
#include "proxy/client_fields.h"
#include "proxy/cors.h"
#include "proxy/exchange.h"
#include "proxy/header_edit.h"
#include "proxy/rate_limiter.h"

namespace portunus::proxy {

using base::EndReason;
using base::Error;
using base::Retry;
using base::Side;
using http::HeaderId;

// Asks; on_auth_granted() goes on with it, in a later turn or at the end of this one.
void Exchange::ask_service(const RouteMatch& match) {
  const conf::ForwardAuth& rule = *route_->forward_auth;
  path_rest_ = match.path_rest;
  phase_ = Phase::asking;
  // Before the client's own fields go: it could name those of the service for removal.
  static_cast<void>(http::remove_hop_by_hop(*request_, request_->upgrade));
  auth_call_ = context_->auth_calls.make(*this, *generation_->pools[rule.pool],
                                         generation_->shared->pool_ids[rule.pool]);
  const bool fits = make_question_for_service(rule, auth_call_->question());
  if (route_->auth_fields != nullptr) remove_auth_fields(*route_->auth_fields, request_->fields);
  if (!fits) {
    reply_error({EndReason::rejected_header_size, Side::client, Retry::no, "too many fields"});
    return;
  }
  loop().timers().arm(total_deadline_, static_cast<std::uint64_t>(rule.timeout.count()));
  auth_call_->start();
}

bool Exchange::make_question_for_service(const conf::ForwardAuth& rule, http::Head& question) {
  std::span<const std::string> names;
  if (route_->auth_fields != nullptr) names = *route_->auth_fields;
  if (!make_question(*request_, names, question)) return false;
  question.path = rule.path;
  question.query = rule.query;
  question.has_query = rule.has_query;
  bool fits = http::forward_request(question, sender(), *request_->arena) &&
              name_request(*request_, question);
  const std::string& host = auth_call_->pool().settings().host;
  if (!host.empty()) fits = fits && question.fields.set(HeaderId::host, host);
  if (route_->client_rule != nullptr) fits = fits && add_client_fields(*who_.tls, question.fields);
  if (route_->basic_auth != nullptr || !route_->user_field.empty())
    fits = fits && tell_user(question.fields);
  return fits;
}

bool Exchange::take_auth_fields(const http::HeaderBlock& answer) {
  return copy_auth_fields(route_->forward_auth->copied_fields, answer, *request_);
}

void Exchange::end_asking(AuthResult result) {
  total_deadline_.disarm();
  metrics().forward_auth(auth_call_->pool_id(), result);
}

void Exchange::on_auth_granted() {
  if (phase_ != Phase::asking) return;
  end_asking(AuthResult::allowed);
  context_->auth_calls.destroy(auth_call_);
  auth_call_ = nullptr;
  phase_ = Phase::head;
  act({route_, path_rest_});
}

void Exchange::on_auth_failed(Error why) {
  if (phase_ == Phase::asking) end_asking(AuthResult::failed);
  if (phase_ == Phase::asking || phase_ == Phase::refusing) fail(why);
}

// The service's answer is the client's.
void Exchange::on_auth_denied(http::Head& head, bool end) {
  if (phase_ != Phase::asking) return;
  end_asking(AuthResult::denied);
  const Error why{EndReason::rejected_forward_auth, Side::client, Retry::no,
                  "the service that is asked does not let it pass"};
  if (http::is_grpc_call(*request_)) {
    reply_error(why, head.status);
    return;
  }
  bool fits = head.status != 101 && http::forward_response(head, *head.arena);
  if (tells_rate_) fits = fits && route_->limiter->add_rate_fields(rate_, *head.arena, head.fields);
  fits = fits && apply_header_changes(route_->response_headers, head.fields);
  if (route_->cors != nullptr && !is_asked_of_member_)
    fits = fits && apply_cors(*route_->cors, cors_origin_, head.fields);
  if (!fits) {
    fail({EndReason::upstream_protocol, Side::upstream, Retry::no, "no answer to hand on"});
    return;
  }
  phase_ = Phase::refusing;
  status_ = head.status;
  first_byte_ns_ = loop().now_ns();
  response_begun_ = true;
  if (end) finish(why.reason);
  client_->send_head(head, end);
}

void Exchange::on_denial_body(std::span<const char> bytes, bool end) {
  if (phase_ != Phase::refusing) return;
  bytes_out_ += bytes.size();
  if (end) finish(EndReason::rejected_forward_auth);
  client_->send_body(bytes, end);
  if (end || member_paused_ || client_->unsent() <= http::kUnsentHigh) return;
  member_paused_ = true;
  auth_call_->set_reading(false);
}

void Exchange::on_denial_trailers(const http::HeaderBlock& trailers) {
  if (phase_ != Phase::refusing) return;
  finish(EndReason::rejected_forward_auth);
  client_->send_trailers(trailers);
}

void Exchange::end_auth_call() {
  if (auth_call_ == nullptr) return;
  auth_call_->finish();
  context_->auth_calls.destroy(auth_call_);
  auth_call_ = nullptr;
}

}  // namespace portunus::proxy
