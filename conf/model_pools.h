// Pools as the configuration describes them. See conf/model.h for what holds for all of it.
#pragma once

#include <bitset>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "conf/model_consul.h"
#include "conf/model_values.h"
#include "conf/upstream_tls.h"
#include "net/proxy_protocol.h"

namespace portunus::conf {

struct Upstream {
  Address address;
  std::uint32_t weight = 1;
  bool backup = false;  // used only while no other member is up
  friend bool operator==(const Upstream&, const Upstream&) = default;
};

enum class Balance : std::uint8_t { least_connections, round_robin, random_two, consistent_hash };

enum class HashSource : std::uint8_t { client_ip, header, cookie, path, host };

// What consistent_hash looks at.
struct HashKey {
  HashSource source = HashSource::client_ip;
  std::string name;  // of the header (lower case) or cookie
  friend bool operator==(const HashKey&, const HashKey&) = default;
};

enum class ProbeKind : std::uint8_t { off, tcp, http, grpc };

// Both ends included.
struct StatusRange {
  std::uint16_t first = 200;
  std::uint16_t last = 399;
  friend bool operator==(const StatusRange&, const StatusRange&) = default;
};

// Active probes. A pool without `health` is probed on TCP.
struct Health {
  ProbeKind kind = ProbeKind::tcp;
  std::string path;  // http: with its query; grpc: the service asked for, empty = all of the member
  Milliseconds interval{10'000};
  Milliseconds timeout{5'000};
  std::uint32_t rise = 2;
  std::uint32_t fall = 3;
  std::vector<StatusRange> expect_status{StatusRange{}};
  std::string expect_body;     // must be contained in the body; empty = not looked at
  std::uint16_t port = 0;      // 0 = the member's own
  std::string host;            // Host field of the probe; empty = the member's host:port
  double jitter_ratio = 0.10;  // 0.10 = up to 10 % of the interval, either way
  // Of the pool, unless `port` is another one: what probes begin with, and that they speak HTTP/2.
  net::ProxyVersion proxy_protocol = net::ProxyVersion::none;
  bool speaks_h2 = false;
  friend bool operator==(const Health&, const Health&) = default;
};

// Towards members. 0 = no limit, for total only.
struct PoolTimeouts {
  Milliseconds connect{2'000};
  Milliseconds tls{3'000};  // the handshake
  Milliseconds first_byte{60'000};
  Milliseconds between_bytes{60'000};
  Milliseconds total{0};
  Milliseconds idle{60'000};       // of a kept-alive connection without a request
  Milliseconds tunnel{3'600'000};  // an upgraded connection without a byte in either direction
  friend bool operator==(const PoolTimeouts&, const PoolTimeouts&) = default;
};

// The bound is found out from how long answers take (health/concurrency_limit.h).
struct AdaptiveLimit {
  bool is_on = false;
  double tolerance_ratio = 0.50;  // how much longer than alone answers may take
  std::uint32_t initial = 20;
  std::uint32_t min = 3;
  std::uint32_t max = 1'000;
  friend bool operator==(const AdaptiveLimit&, const AdaptiveLimit&) = default;
};

// Requests at the pool's members, and those that wait for room there.
struct Overload {
  std::uint32_t max_requests = 0;   // at all members, of all threads; 0 = no bound
  AdaptiveLimit adaptive = {};      // instead of it
  std::uint32_t max_pending = 256;  // 0 = none may wait
  Milliseconds pending_timeout{5'000};
  friend bool operator==(const Overload&, const Overload&) = default;
};

// What is done when a member does not answer.
struct Retry {
  std::uint32_t attempts = 3;                           // times that a request is sent at most
  Milliseconds window{10'000};                          // no try begins later; 0 = one try
  Milliseconds pause{1'000};                            // before the same member is tried again
  bool on_connect = true;                               // the request did not reach the member
  bool on_reset = true;                                 // the connection broke before an answer
  bool on_timeout = true;                               // no answer in time
  std::vector<std::uint16_t> on_status{502, 503, 504};  // ascending
  std::vector<std::string> methods{"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"};
  double budget_ratio = 0.20;  // of the pool's requests in flight; at least 3
  std::uint64_t body_buffer = std::uint64_t{64} * 1024;
  Milliseconds per_try{0};  // until the answer begins; 0 = PoolTimeouts::first_byte alone
  friend bool operator==(const Retry&, const Retry&) = default;
};

// What of the traffic speaks against a member.
enum class FailureKind : std::uint8_t { connect, reset, timeout, protocol, status };

// Which failures of tries count against the member.
struct FailureRule {
  static constexpr std::uint16_t kFirstStatus = 500;
  std::bitset<4> kinds{0b1111};                             // by FailureKind, but for `status`
  std::bitset<100> statuses{std::bitset<100>{0b111} << 2};  // 502, 503, 504: from kFirstStatus on

  [[nodiscard]] bool counts(FailureKind kind) const {
    return kinds.test(static_cast<std::size_t>(kind));
  }
  [[nodiscard]] bool counts(std::uint16_t status) const {
    const auto place = static_cast<std::size_t>(status) - kFirstStatus;
    return status >= kFirstStatus && place < statuses.size() && statuses.test(place);
  }
  friend bool operator==(const FailureRule&, const FailureRule&) = default;
};

// Members that fail are ejected for a time.
struct Passive {
  bool is_on = true;
  FailureRule on;                          // for the circuit breaker, too
  std::uint32_t consecutive_failures = 5;  // 0 = not watched
  double excess_ratio = 0.30;       // of its failures above the other members'; 0 = not watched
  std::uint32_t min_requests = 20;  // within the window, for the ratio
  Milliseconds window{10'000};
  Milliseconds eject_for{30'000};       // the first time; grows
  Milliseconds max_eject_for{300'000};  // as far as this
  double max_ejected_ratio = 0.50;      // of the pool's members
  friend bool operator==(const Passive&, const Passive&) = default;
};

// Of each member. What a failure is, Passive::on says.
struct CircuitBreaker {
  bool is_on = false;
  double failure_ratio = 0.50;  // 0 = not watched
  std::uint32_t min_requests = 20;
  Milliseconds window{10'000};
  std::uint32_t consecutive_failures = 0;  // 0 = not watched
  Milliseconds latency_p99{0};             // until the answer begins; 0 = not watched
  Milliseconds open_for{10'000};
  std::uint32_t half_open_requests = 3;
  friend bool operator==(const CircuitBreaker&, const CircuitBreaker&) = default;
};

enum class CookieSecure : std::uint8_t { automatic, always, never };
enum class SameSite : std::uint8_t { lax, strict, none };

// A client's requests go to the member that answered the first one: a signed cookie names it.
struct Sticky {
  std::string cookie{"portunus"};
  Milliseconds ttl{3'600'000};  // whole seconds
  CookieSecure secure = CookieSecure::automatic;
  SameSite same_site = SameSite::lax;
  std::string secret;  // what cookies are signed with; empty = one of this machine's own
  friend bool operator==(const Sticky&, const Sticky&) = default;
};

// What members speak. The last two are HTTP/2: over TLS, agreed on by ALPN, and in the clear.
enum class UpstreamProtocol : std::uint8_t { h1, h2, h2c };

// Where requests go while no member is up: nowhere, to those that were up last, to all.
enum class WhenUnhealthy : std::uint8_t { fail, last_known, all };

struct Pool {
  std::string name;  // unique; the label of metrics. Of an anonymous pool: its site's key
  std::vector<Upstream> upstreams;  // never empty; no address twice
  Balance balance = Balance::least_connections;
  HashKey hash_on;              // for consistent_hash
  double hash_bound_ratio = 0;  // the same: above its share a member may have; 0 = anything
  Milliseconds slow_start{0};   // until a member that joins has its whole weight; 0 = at once
  std::uint32_t max_connections_per_upstream = 512;
  Overload overload;
  Health health;
  PoolTimeouts timeouts;
  Retry retry;
  Passive passive;
  CircuitBreaker breaker;
  WhenUnhealthy when_unhealthy = WhenUnhealthy::fail;
  std::optional<Sticky> sticky;
  std::string host;  // Host field sent to members; empty = the client's, as it came
  UpstreamProtocol protocol = UpstreamProtocol::h1;
  std::optional<UpstreamTls> tls;                              // none: in the clear
  net::ProxyVersion proxy_protocol = net::ProxyVersion::none;  // that connections begin with
  std::optional<ConsulService> consul;  // members that Consul knows, besides `upstreams`
  // Members come and go while the program runs (replicas of a service, instances in Consul):
  // `upstreams` may be empty.
  bool is_dynamic = false;
  friend bool operator==(const Pool&, const Pool&) = default;
};

// Whether members can give a request back that they have been sent and have not looked at (RFC 9113
// section 8.7): over HTTP/2 they can.
[[nodiscard]] inline bool may_give_back(const Pool& pool) {
  return pool.protocol != UpstreamProtocol::h1;
}

// Probes of this pool's members begin as its connections do, as far as they go to the same port; over
// TLS the protocol is that of the pool at any port.
void probe_as_pool(const Pool& pool, Health& health);

}  // namespace portunus::conf
