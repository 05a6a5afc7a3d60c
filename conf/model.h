// The configuration as the rest of the program sees it: plain values, every default in place, every
// short form expanded. conf/load.h makes it, whole or not at all; it is built on the control thread
// and never changes afterwards, so any thread may read it. References between parts are indexes
// into the vectors of Model. Units are in the types or names; a duration of zero means "no limit"
// where the field says so.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "conf/model_pools.h"
#include "conf/model_services.h"
#include "conf/model_sites.h"
#include "conf/model_values.h"
#include "net/certificate.h"

namespace portunus::conf {

struct Listener {
  std::string name;  // unique; the label of metrics
  Address address;
  std::uint64_t max_connections = 0;  // 0 = only the descriptor limit of the process
  bool is_tls = false;
  bool offers_h1 = true;   // at least one of the two
  bool offers_h2 = false;  // without TLS: by prior knowledge
  // Whose connections begin with a PROXY header; each is known to be accepted by net::CidrSet::add.
  std::vector<std::string> proxies = {};
  std::string declared_at;  // "file:line" for messages such as a failed bind
  // Not declared_at: a listener that moved within the file is the same listener.
  friend bool operator==(const Listener& a, const Listener& b) {
    return a.name == b.name && a.address == b.address && a.max_connections == b.max_connections &&
           a.is_tls == b.is_tls && a.offers_h1 == b.offers_h1 && a.offers_h2 == b.offers_h2 &&
           a.proxies == b.proxies;
  }
};

// ---- TLS ----

// Two PEM files and what they hold.
struct Certificate {
  std::string file;
  std::string key_file;  // may be the same
  // Null when nobody asked for it, or when the files are of no use and the program starts all the same
  // (conf::LoadOptions::instead).
  net::SharedCertificate loaded;
  friend bool operator==(const Certificate&, const Certificate&) = default;
};

// A PEM file of authorities, and what it holds; null as with a certificate.
struct ClientAuthority {
  std::string file;
  std::string crl_file;  // the certificates that they have taken back; empty: nobody asks for them
  net::SharedClientAuthority loaded;
  net::SharedRevocationList revocations;  // newer than what it has; null: it has the newest
  friend bool operator==(const ClientAuthority&, const ClientAuthority&) = default;
};

enum class TlsVersion : std::uint8_t { v1_2, v1_3 };

struct Tls {
  TlsVersion min_version = TlsVersion::v1_2;
  std::vector<std::size_t> certificates;  // indexes into Model::certificates, for the names in them
  bool is_strict = false;                 // no or an unknown server name is refused
  bool has_ocsp = true;                   // what responders say is stapled
  bool has_tickets = true;
  Milliseconds ticket_rotation{12 * 3'600'000};
  friend bool operator==(const Tls&, const Tls&) = default;
};

// How often one HTTP/2 connection may do what costs us more than it: so often at once, and regained in
// each second.
struct H2Budget {
  std::uint32_t burst;
  std::uint32_t per_second;
  friend bool operator==(const H2Budget&, const H2Budget&) = default;
};

// A browser that leaves a page resets all of its streams at once; libraries measure the way with PING and
// acknowledge each frame of DATA.
struct H2Budgets {
  H2Budget client_resets{200, 50};
  H2Budget server_resets{100, 20};
  H2Budget settings{20, 5};
  H2Budget pings{500, 50};
  H2Budget priorities{1000, 100};
  H2Budget empty_frames{100, 10};
  H2Budget window_updates{1000, 100};
  H2Budget header_bombs{10, 1};
  H2Budget streams{1000, 100};
  friend bool operator==(const H2Budgets&, const H2Budgets&) = default;
};

// Of what clients may send.
struct Limits {
  std::uint64_t header_bytes = std::uint64_t{32} * 1024;
  std::uint32_t header_count = 100;  // at most 120
  std::uint64_t uri_bytes = std::uint64_t{8} * 1024;
  std::uint64_t body_bytes = 0;  // 0 = no limit
  std::uint64_t requests_per_connection = 10000;
  std::uint32_t h2_concurrent_streams = 128;
  std::uint32_t client_connections = 0;   // of one client at a time; 0 = no limit, here and below
  std::uint32_t client_requests = 0;      // of one client in flight
  std::uint32_t client_ipv6_prefix = 64;  // bits of an address that make one client
  H2Budgets h2_budgets;
  friend bool operator==(const Limits&, const Limits&) = default;
};

// Of clients.
struct ClientTimeouts {
  Milliseconds headers{10'000};
  Milliseconds body{30'000};   // between two reads of a body
  Milliseconds write{30'000};  // a client that does not read
  Milliseconds keep_alive{60'000};
  // Bytes per second of a body, over each `body` of time but the first; 0 = any.
  std::uint64_t min_rate = 512;
  friend bool operator==(const ClientTimeouts&, const ClientTimeouts&) = default;
};

// ---- the program ----

enum class TokenFor : std::uint8_t { changes, all };

struct Admin {
  bool is_enabled = true;
  Address listen{"127.0.0.1", 9180};  // loopback only
  std::string token;                  // a secret: never shown; empty = none is asked for
  TokenFor token_for = TokenFor::changes;
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

// Each thread has a bit in health::Member::waiting_threads.
inline constexpr std::uint32_t kThreadsMax = 64;

// When Portunus itself is short: what requests of low priority, and then others, are refused for.
struct Shedding {
  std::uint64_t memory = 0;    // bytes that requests may hold; 0 = no bound
  Milliseconds loop_delay{0};  // of a thread; 0 = not looked at
  friend bool operator==(const Shedding&, const Shedding&) = default;
};

struct Model {
  std::uint32_t threads =
      0;  // data-plane threads, at most kThreadsMax; 0 = as many as CPUs available to the process
  std::vector<Listener> listeners;
  std::vector<Certificate> certificates;            // no pair of files twice
  std::vector<ClientAuthority> client_authorities;  // no pair of files twice
  Tls tls;
  Limits limits;
  ClientTimeouts timeouts;
  Shedding overload;
  // Whose X-Forwarded-* and Forwarded are believed; each is known to be accepted by
  // net::CidrSet::add.
  std::vector<std::string> trusted_proxies;
  bool forwarded_header = false;  // also send `Forwarded` (RFC 7239)
  std::vector<Pool> pools;
  std::vector<Site> sites;
  std::vector<Service> services;
  std::string
      user;  // whom the proxy runs as when the supervisor is started as root; empty = the same
  std::string
      state;  // folder for what outlives a restart; empty = the default (supervisor/paths.h)
  Consul consul;
  Admin admin;
  Log log;
  AccessLog access_log;
  Shutdown shutdown;
  friend bool operator==(const Model&, const Model&) = default;
};

}  // namespace portunus::conf
