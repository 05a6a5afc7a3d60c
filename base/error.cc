#include "base/error.h"

#include <array>

namespace portunus::base {
namespace {

struct Row {
  EndReason reason;
  std::string_view name;
  std::uint16_t status;
  std::string_view proxy_status;
};

// In the order of the enum; the unit test checks that.
constexpr std::array<Row, kEndReasonCount> kRows{{
    {EndReason::ok, "ok", 0, ""},
    {EndReason::client_closed, "client_closed", 0, ""},
    {EndReason::client_timeout, "client_timeout", 408, ""},
    {EndReason::upstream_connect, "upstream_connect", 502, "connection_refused"},
    {EndReason::upstream_tls, "upstream_tls", 502, "tls_protocol_error"},
    {EndReason::upstream_timeout, "upstream_timeout", 504, "http_response_timeout"},
    {EndReason::upstream_reset, "upstream_reset", 502, "connection_terminated"},
    {EndReason::upstream_protocol, "upstream_protocol", 502, "http_protocol_error"},
    {EndReason::upstream_status, "upstream_status", 502, ""},
    {EndReason::no_healthy_upstream, "no_healthy_upstream", 503, "destination_unavailable"},
    {EndReason::breaker_open, "breaker_open", 503, "destination_unavailable"},
    {EndReason::queue_full, "queue_full", 503, "connection_limit_reached"},
    {EndReason::queue_timeout, "queue_timeout", 503, "connection_limit_reached"},
    {EndReason::rate_limited, "rate_limited", 429, "http_request_denied"},
    {EndReason::auth_busy, "auth_busy", 503, "connection_limit_reached"},
    {EndReason::pool_full, "pool_full", 503, "connection_limit_reached"},
    {EndReason::client_limited, "client_limited", 429, "http_request_denied"},
    {EndReason::overloaded, "overloaded", 503, "proxy_internal_response"},
    {EndReason::rejected_request_line, "rejected_request_line", 400, "http_request_error"},
    {EndReason::rejected_version, "rejected_version", 505, "http_request_error"},
    {EndReason::rejected_target, "rejected_target", 400, "http_request_error"},
    {EndReason::rejected_uri_length, "rejected_uri_length", 414, "http_request_error"},
    {EndReason::rejected_host, "rejected_host", 400, "http_request_error"},
    {EndReason::rejected_header, "rejected_header", 400, "http_request_error"},
    {EndReason::rejected_header_size, "rejected_header_size", 431, "http_request_error"},
    {EndReason::rejected_framing, "rejected_framing", 400, "http_request_error"},
    {EndReason::rejected_transfer_coding, "rejected_transfer_coding", 501, "http_request_error"},
    {EndReason::rejected_chunk, "rejected_chunk", 400, "http_request_error"},
    {EndReason::rejected_body_size, "rejected_body_size", 413, "http_request_error"},
    {EndReason::rejected_method, "rejected_method", 501, "http_request_error"},
    {EndReason::rejected_expect, "rejected_expect", 417, "http_request_error"},
    {EndReason::rejected_no_route, "rejected_no_route", 404, "destination_not_found"},
    {EndReason::rejected_misdirected, "rejected_misdirected", 421, "http_request_error"},
    {EndReason::rejected_address, "rejected_address", 403, "http_request_denied"},
    {EndReason::rejected_credentials, "rejected_credentials", 401, "http_request_denied"},
    {EndReason::rejected_forward_auth, "rejected_forward_auth", 403, "http_request_denied"},
    {EndReason::internal, "internal", 500, "proxy_internal_error"},
    {EndReason::shutdown, "shutdown", 503, "proxy_internal_response"},
}};

const Row& row(EndReason reason) {
  return kRows[static_cast<std::size_t>(reason)];
}

}  // namespace

std::string_view name_of(EndReason reason) {
  return row(reason).name;
}
std::uint16_t status_of(EndReason reason) {
  return row(reason).status;
}
std::string_view proxy_status_of(EndReason reason) {
  return row(reason).proxy_status;
}

}  // namespace portunus::base
