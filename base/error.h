// What went wrong, whose fault it is and whether another try is allowed, in 16 trivially copyable
// bytes; and the closed list of reasons why a request ended. The same words appear in the access
// log, in metrics, in error bodies and (where RFC 9209 has one) in Proxy-Status. Any thread.
#pragma once

#include <cstdint>
#include <string_view>
#include <type_traits>

namespace portunus::base {

// Append only at the end of a group; names and statuses are in error.cc.
enum class EndReason : std::uint8_t {
  ok,
  client_closed,
  client_timeout,
  upstream_connect,
  upstream_tls,
  upstream_timeout,
  upstream_reset,
  upstream_protocol,
  upstream_status,  // a status that is tried again; never the end of a request that got an answer
  no_healthy_upstream,
  breaker_open,
  queue_full,
  queue_timeout,
  rate_limited,
  auth_busy,                 // 503: too many passwords wait to be looked at
  pool_full,                 // 503: `overload.max_requests`, and nobody else may wait
  client_limited,            // 429: `limits.client_requests`
  overloaded,                // 503: Portunus itself is short, and the route's priority too low
  rejected_request_line,     // 400
  rejected_version,          // 505
  rejected_target,           // 400
  rejected_uri_length,       // 414
  rejected_host,             // 400
  rejected_header,           // 400: a name or value outside the grammar
  rejected_header_size,      // 431: too many or too long
  rejected_framing,          // 400: Content-Length and Transfer-Encoding rules
  rejected_transfer_coding,  // 501
  rejected_chunk,            // 400
  rejected_body_size,        // 413
  rejected_method,           // 501
  rejected_expect,           // 417
  rejected_no_route,         // 404
  rejected_misdirected,  // 421: the connection was opened for another host (RFC 9110 section 15.5.20)
  rejected_address,      // 403
  rejected_credentials,   // 401: no name and password, or wrong ones
  rejected_forward_auth,  // 403, or as the service says that is asked
  internal,               // 500: a bound of ours, never a peer's fault
  shutdown,               // 503: cut by the end of the drain
};
inline constexpr std::size_t kEndReasonCount = static_cast<std::size_t>(EndReason::shutdown) + 1;

enum class Side : std::uint8_t { client, upstream, internal };

// Whether the same request may be sent again.
enum class Retry : std::uint8_t {
  no,
  unsent,      // no byte reached the member: always safe
  idempotent,  // sent, but nothing of an answer was passed on: safe for idempotent requests only
};

struct Error {
  EndReason reason = EndReason::ok;
  Side side = Side::internal;
  Retry retry = Retry::no;
  const char* detail = "";  // a literal, never freed, fit for logs and error bodies

  [[nodiscard]] bool is_error() const { return reason != EndReason::ok; }
};
static_assert(sizeof(Error) == 16 && std::is_trivially_copyable_v<Error>);

// The word of the closed list, e.g. "upstream_connect".
[[nodiscard]] std::string_view name_of(EndReason reason);
// The status code of the answer that we make for it (RFC 9110 section 15); 0 when none is sent.
[[nodiscard]] std::uint16_t status_of(EndReason reason);
// The RFC 9209 section 2.3 error type, or an empty view.
[[nodiscard]] std::string_view proxy_status_of(EndReason reason);

}  // namespace portunus::base
