// The configuration as the rest of the program sees it: plain values, every default in place, every
// short form expanded. conf/load.h makes it, whole or not at all; it is built on the control thread
// and never changes afterwards, so any thread may read it. References between parts are indexes
// into the vectors of Model. Units are in the types or names; a duration of zero means "no limit"
// where the field says so.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace portunus::conf {

using Milliseconds = std::chrono::milliseconds;

// Host and port as written. An IPv6 literal stands without brackets. A name is resolved later, not
// here.
struct Address {
  std::string host;  // empty = every local address (listeners only)
  std::uint16_t port = 0;
  friend bool operator==(const Address&, const Address&) = default;
};

struct Listener {
  std::string name;  // unique; the label of metrics
  Address address;
  std::uint64_t max_connections = 0;  // 0 = only the descriptor limit of the process
  std::string declared_at;            // "file:line" for messages such as a failed bind
  // Not declared_at: a listener that moved within the file is the same listener.
  friend bool operator==(const Listener& a, const Listener& b) {
    return a.name == b.name && a.address == b.address && a.max_connections == b.max_connections;
  }
};

// Of what clients may send.
struct Limits {
  std::uint64_t header_bytes = 32 * 1024;
  std::uint32_t header_count = 100;  // at most 120
  std::uint64_t uri_bytes = 8 * 1024;
  std::uint64_t body_bytes = 0;  // 0 = no limit
  std::uint64_t requests_per_connection = 10000;
  friend bool operator==(const Limits&, const Limits&) = default;
};

// Of clients.
struct ClientTimeouts {
  Milliseconds headers{10'000};
  Milliseconds body{30'000};   // between two reads of a body
  Milliseconds write{30'000};  // a client that does not read
  Milliseconds keep_alive{60'000};
  friend bool operator==(const ClientTimeouts&, const ClientTimeouts&) = default;
};

// ---- pools ----

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

enum class ProbeKind : std::uint8_t { off, tcp, http };

// Both ends included.
struct StatusRange {
  std::uint16_t first = 200;
  std::uint16_t last = 399;
  friend bool operator==(const StatusRange&, const StatusRange&) = default;
};

// Active probes. A pool without `health` is probed on TCP.
struct Health {
  ProbeKind kind = ProbeKind::tcp;
  std::string path;  // http only; with its query
  Milliseconds interval{10'000};
  Milliseconds timeout{5'000};
  std::uint32_t rise = 2;
  std::uint32_t fall = 3;
  std::vector<StatusRange> expect_status{StatusRange{}};
  std::string expect_body;     // must be contained in the body; empty = not looked at
  std::uint16_t port = 0;      // 0 = the member's own
  std::string host;            // Host field of the probe; empty = the member's host:port
  double jitter_ratio = 0.10;  // 0.10 = up to 10 % of the interval, either way
  friend bool operator==(const Health&, const Health&) = default;
};

// Towards members. 0 = no limit, for total only.
struct PoolTimeouts {
  Milliseconds connect{2'000};
  Milliseconds first_byte{60'000};
  Milliseconds between_bytes{60'000};
  Milliseconds total{0};
  Milliseconds idle{60'000};       // of a kept-alive connection without a request
  Milliseconds tunnel{3'600'000};  // an upgraded connection without a byte in either direction
  friend bool operator==(const PoolTimeouts&, const PoolTimeouts&) = default;
};

// Requests that wait for a connection of the pool.
struct Overload {
  std::uint32_t max_pending = 256;  // 0 = none may wait
  Milliseconds pending_timeout{5'000};
  friend bool operator==(const Overload&, const Overload&) = default;
};

struct Pool {
  std::string name;  // unique; the label of metrics. Of an anonymous pool: its site's key
  std::vector<Upstream> upstreams;  // never empty; no address twice
  Balance balance = Balance::least_connections;
  HashKey hash_on;  // for consistent_hash
  std::uint32_t max_connections_per_upstream = 512;
  Overload overload;
  Health health;
  PoolTimeouts timeouts;
  std::string host;  // Host field sent to members; empty = the client's, as it came
  friend bool operator==(const Pool&, const Pool&) = default;
};

// ---- sites ----

struct HeaderField {
  std::string name;  // lower case
  std::string value;
  friend bool operator==(const HeaderField&, const HeaderField&) = default;
};

// Done in this order: remove, set, add.
struct HeaderChanges {
  std::vector<HeaderField> set;
  std::vector<HeaderField> add;
  std::vector<std::string> remove;  // lower case
  friend bool operator==(const HeaderChanges&, const HeaderChanges&) = default;
};

// `/api/*` is {"/api", true} and matches /api and all below it; `/api` is {"/api", false}; `/*` is
// {"/", true}. Paths never end in a slash unless written so for an exact match.
struct PathPattern {
  std::string path = "/";
  bool is_prefix = true;
  friend bool operator==(const PathPattern&, const PathPattern&) = default;
};

enum class FieldTest : std::uint8_t { present, exact, prefix };

// A header field (name in lower case) or a query parameter (name as written).
struct FieldMatch {
  std::string name;
  FieldTest test = FieldTest::present;
  std::string value;  // without the star of a prefix
  friend bool operator==(const FieldMatch&, const FieldMatch&) = default;
};

// All given parts must hold; an empty part always does. Inside paths and methods one is enough.
struct Match {
  std::vector<PathPattern> paths;
  std::vector<std::string> methods;
  std::vector<FieldMatch> headers;
  std::vector<FieldMatch> query;
  friend bool operator==(const Match&, const Match&) = default;
};

// path_rest is what the star of the matched path stood for, without its leading slash; query is
// without `?`.
enum class TemplateKind : std::uint8_t { literal, path, path_rest, query, host, scheme };

struct TemplatePart {
  TemplateKind kind = TemplateKind::literal;
  std::string text;  // of a literal
  friend bool operator==(const TemplatePart&, const TemplatePart&) = default;
};

using Template = std::vector<TemplatePart>;

struct PoolShare {
  std::size_t pool = 0;  // index into Model::pools
  std::uint32_t weight = 1;
  friend bool operator==(const PoolShare&, const PoolShare&) = default;
};

// To members. One share for `pool`, several for `split`; the sum of the weights is above zero.
struct Forward {
  std::vector<PoolShare> shares;
  std::string
      strip_prefix;  // whole segments, such as "/api"; empty = none. Never together with rewrite
  Template rewrite;  // new path; the query stays. Empty = none
  friend bool operator==(const Forward&, const Forward&) = default;
};

struct Redirect {
  Template to;
  std::uint16_t code = 308;
  bool keep_query =
      true;  // append `?` and the client's query, if any; false when `to` has a `?` of its own
  friend bool operator==(const Redirect&, const Redirect&) = default;
};

struct Respond {
  std::uint16_t status = 200;
  std::string body;
  std::string content_type = "text/plain; charset=utf-8";
  std::vector<HeaderField> headers;
  friend bool operator==(const Respond&, const Respond&) = default;
};

struct Route {
  std::string name;  // unique in its site; the label of metrics, with the site's key in front
                     // unless given by the user
  Match match;
  std::variant<Forward, Redirect, Respond> action;
  HeaderChanges request_headers;            // after those of the site
  HeaderChanges response_headers;           // after those of the site
  std::optional<std::uint64_t> body_bytes;  // instead of Limits::body_bytes; 0 = no limit
  std::optional<Milliseconds> total;        // instead of PoolTimeouts::total; 0 = no limit
  friend bool operator==(const Route&, const Route&) = default;
};

struct Site {
  std::string name;  // its key in the file
  std::vector<std::string>
      hosts;  // key and aliases, lower case: exact names, `*.name` (one label) or `*` (any)
  std::vector<std::size_t> listeners;  // indexes into Model::listeners; never empty
  HeaderChanges request_headers;
  HeaderChanges response_headers;
  std::vector<Route> routes;  // first match wins; never empty
  friend bool operator==(const Site&, const Site&) = default;
};

// ---- the rest ----

struct Admin {
  bool is_enabled = true;
  Address listen{"127.0.0.1", 9180};  // loopback only
  friend bool operator==(const Admin&, const Admin&) = default;
};

enum class LogLevel : std::uint8_t { trace, debug, info, warning, error };
enum class LogFormat : std::uint8_t { text, json };
enum class OutputKind : std::uint8_t { standard_error, standard_output, file };

struct Output {
  OutputKind kind = OutputKind::standard_error;
  std::string path;  // of a file
  friend bool operator==(const Output&, const Output&) = default;
};

struct Log {
  LogLevel level = LogLevel::info;
  LogFormat format = LogFormat::text;
  Output output;
  friend bool operator==(const Log&, const Log&) = default;
};

enum class AccessLogFormat : std::uint8_t { off, json, combined };

// Off unless the file has `access_log`; then JSON to standard output.
struct AccessLog {
  AccessLogFormat format = AccessLogFormat::off;
  Output output{OutputKind::standard_output, {}};
  friend bool operator==(const AccessLog&, const AccessLog&) = default;
};

struct Shutdown {
  Milliseconds announce{0};  // readiness answers 503 while new connections are still taken
  Milliseconds drain{30'000};
  friend bool operator==(const Shutdown&, const Shutdown&) = default;
};

struct Model {
  std::uint32_t threads = 0;  // data-plane threads; 0 = as many as CPUs available to the process
  std::vector<Listener> listeners;
  Limits limits;
  ClientTimeouts timeouts;
  // Whose X-Forwarded-* and Forwarded are believed; each is known to be accepted by
  // net::CidrSet::add.
  std::vector<std::string> trusted_proxies;
  bool forwarded_header = false;  // also send `Forwarded` (RFC 7239)
  std::vector<Pool> pools;
  std::vector<Site> sites;
  Admin admin;
  Log log;
  AccessLog access_log;
  Shutdown shutdown;
  friend bool operator==(const Model&, const Model&) = default;
};

}  // namespace portunus::conf
