// Who asks, and who may come in: by address, by certificate, by how often. Before anything is done for a
// request.
#include "http/forwarding.h"
#include "http/request_id.h"
#include "net/client_authority.h"
#include "net/tls_session.h"
#include "proxy/address_rules.h"
#include "proxy/exchange.h"
#include "proxy/rate_limiter.h"

namespace portunus::proxy {

using base::EndReason;
using base::Retry;
using base::Side;
using http::HeaderId;

// Who asks, and under which id: what a peer claims counts only when the configuration trusts it.
void Exchange::identify_client() {
  base::Arena& arena = *request_->arena;
  char text[net::Address::kTextMax];
  peer_text_ = arena.copy({text, who_.source.write_ip(text)});
  client_ip_ = peer_text_;
  const net::CidrSet& trusted = generation_->shared->trusted;
  is_peer_trusted_ = !trusted.empty() && trusted.contains(who_.source);
  if (is_peer_trusted_) {
    const auto found = http::find_client(request_->fields, peer_text_, [&](std::string_view ip) {
      const auto address = net::Address::parse_ip(ip, 0);
      return address && trusted.contains(*address);
    });
    client_ip_ = found.text;
    is_client_unknown_ = found.is_unknown;
    const std::string_view proto = request_->fields.value_of(HeaderId::x_forwarded_proto);
    if (proto == "https" || proto == "http") scheme_ = proto == "https" ? "https" : "http";
    const std::string_view given = request_->fields.value_of(HeaderId::x_request_id);
    if (http::is_request_id(given)) request_id_ = given;
  }
  if (request_id_.empty()) {
    char* id = arena.take(http::kRequestIdSize);
    http::write_request_id(id);
    request_id_ = {id, http::kRequestIdSize};
  }
}

http::ClientInfo Exchange::client_info() const {
  http::ClientInfo out = who_;
  if (client_ip_ != peer_text_) {
    if (const auto believed = net::Address::parse_ip(client_ip_, 0)) out.source = *believed;
  }
  return out;
}

// False when it has been answered.
bool Exchange::admit() {
  if (route_->priority < context_->shed_level) [[unlikely]] {
    ++context_->shed[route_->priority];
    reply_error({EndReason::overloaded, Side::internal, Retry::no,
                 "the proxy is short, and serves what is more important"});
    return false;
  }
  const bool is_counted = generation_->shared->model->limits.client_requests != 0;
  const bool is_judged_by_address =
      route_->addresses != nullptr || route_->limiter != nullptr || is_counted;
  const net::Address client = is_judged_by_address ? client_address() : net::Address{};
  if (route_->addresses != nullptr && !route_->addresses->admits(client)) {
    reply_error({EndReason::rejected_address, Side::client, Retry::no,
                 "the client's address is not allowed"});
    return false;
  }
  if (!has_client_shown_enough()) {
    reply_error({EndReason::rejected_misdirected, Side::client, Retry::no,
                 "the connection was opened without what this host asks of clients"});
    return false;
  }
  // One that a trusted proxy does not name counts as that proxy.
  const net::Address& counted_as = client.is_set() ? client : who_.source;
  if (is_counted && !is_within_count(counted_as)) return false;
  return route_->limiter == nullptr || is_within_rate(counted_as);
}

bool Exchange::is_within_count(const net::Address& client) {
  ClientCounts& counts = *generation_->shared->clients;
  const conf::Limits& limits = generation_->shared->model->limits;
  const auto verdict = counts.requests.take(
      hash_client(counts.hash, client, limits.client_ipv6_prefix), limits.client_requests);
  counted_ = verdict.entry;
  if (verdict.is_within) return true;
  reply_error({EndReason::client_limited, Side::client, Retry::no,
               "the client has as many requests in flight as it may"});
  return false;
}

bool Exchange::is_within_rate(const net::Address& client) {
  RateLimiter& limiter = *route_->limiter;
  const conf::RateLimit& rule = limiter.rule();
  rate_ = limiter.take(*request_, client, loop().now_ns());
  tells_rate_ = rule.headers == conf::RateHeaders::all;
  if (rate_.is_within) return true;
  if (rule.report_only) {
    reported_reason_ = EndReason::rate_limited;
    tells_rate_ = false;
    return true;
  }
  tells_rate_ = rule.headers != conf::RateHeaders::off;
  reply_error({EndReason::rate_limited, Side::client, Retry::no, "too many requests"});
  return false;
}

// Whichever host it was opened for, and whatever has been configured since.
bool Exchange::has_client_shown_enough() const {
  if (route_->client_rule == nullptr) return true;
  return who_.tls != nullptr && route_->client_rule->is_met_by(who_.tls->client_rule());
}

// The one that is believed to be the client's; unset when a trusted peer names none that is one.
net::Address Exchange::client_address() const {
  if (is_client_unknown_) return {};
  if (client_ip_ == peer_text_) return who_.source;
  return net::Address::parse_ip(client_ip_, 0).value_or(net::Address{});
}

}  // namespace portunus::proxy
