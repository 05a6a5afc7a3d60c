// What pages of other sites may do: their browsers ask before a request that an old server would not
// expect, and Portunus answers that itself, before anybody is asked who he is.
#include "proxy/cors.h"
#include "proxy/exchange.h"

namespace portunus::proxy {

using base::EndReason;

// The question is about the route that the request itself would have. Where that has no `cors`, it is
// the member's to answer, whatever another route says of OPTIONS.
RouteMatch Exchange::find_route(http::Head& head) {
  const RouteTable& routes = generation_->shared->routes;
  const std::string_view asked = routes.has_cors() ? asked_method(head) : std::string_view{};
  if (!asked.empty()) {
    const std::string_view sent = head.method_text;
    head.method = http::method_of(asked);
    head.method_text = asked;
    const RouteMatch match = routes.find(listener_, head);
    head.method = http::Method::options;
    head.method_text = sent;
    is_preflight_ = match.route != nullptr && match.route->cors != nullptr;
    if (is_preflight_) return match;
    is_asked_of_member_ = true;
  }
  return routes.find(listener_, head);
}

// Who is not allowed gets no fields, by which the browser knows.
void Exchange::reply_preflight() {
  finish(EndReason::ok);
  http::Head& reply = context_->reply;
  reply.clear();
  reply.arena = request_->arena;
  reply.status = 204;
  allows_preflight_ = is_allowed(*route_->cors, cors_origin_);
  send_reply({});
}

}  // namespace portunus::proxy
