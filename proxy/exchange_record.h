// The facts of one finished exchange, for the access log and the metrics. Made on the stack by the
// exchange at its end; every view in it dies when the call that takes it returns. Times are the
// loop's monotonic nanoseconds, 0 = did not happen.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/error.h"
#include "health/member.h"
#include "http/message.h"
#include "net/address.h"
#include "proxy/route.h"
#include "proxy/sticky_result.h"

namespace portunus::net {
class TlsSession;
}  // namespace portunus::net

namespace portunus::proxy {

struct ExchangeRecord {
  std::uint32_t listener = 0;              // MetricsRegistry's listener id: stable over generations
  const Route* route = nullptr;            // null: no route matched
  std::string_view pool;                   // empty: answered here
  std::uint32_t pool_id = 0;               // MetricsRegistry's; 0 when pool is empty
  const health::Member* member = nullptr;  // of the last attempt
  const http::Head* request = nullptr;     // null: the head was not understood
  std::string_view request_id;
  std::string_view trace_id;  // empty when there is none
  net::Address peer;          // who is at the other end of the socket
  net::Address source;        // whose connection it is: another one's behind the PROXY protocol
  std::string_view scheme = "http";
  const net::TlsSession* tls = nullptr;  // of the client's connection
  std::string_view user;                 // by the certificate that the site has asked for
  std::string_view client_ip;            // believed client: differs behind trusted proxies
  std::uint16_t status = 0;              // 0: nothing was answered
  std::uint16_t upstream_status = 0;
  std::uint32_t attempts = 0;
  bool upgraded = false;
  base::EndReason end_reason = base::EndReason::ok;
  base::EndReason retry_reason = base::EndReason::ok;  // why the first attempt was not the last
  // Why it would have been refused, by a rule that only reports; ok: it would not.
  base::EndReason reported_reason = base::EndReason::ok;
  StickyResult sticky = StickyResult::none;
  std::uint64_t bytes_in = 0;          // request body
  std::uint64_t bytes_out = 0;         // response body
  std::uint64_t started_ns = 0;        // head complete
  std::uint64_t queued_ns = 0;         // time spent waiting for a connection
  std::uint64_t connect_ns = 0;        // duration of the last connect; 0 when reused
  std::uint64_t tls_ns = 0;            // duration of the last handshake; 0 when reused
  std::uint64_t sent_ns = 0;           // last attempt: head sent
  std::uint64_t upstream_head_ns = 0;  // last attempt: response head came
  std::uint64_t first_byte_ns = 0;     // first byte of the answer given to the client's side
  std::uint64_t ended_ns = 0;
  std::uint64_t generation = 0;
};

}  // namespace portunus::proxy
