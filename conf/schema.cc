#include "conf/schema.h"

#include <array>
#include <string>
#include <utility>

#include "conf/consul_reader.h"
#include "conf/draft.h"
#include "conf/h2_budgets_reader.h"
#include "conf/model.h"
#include "conf/reader.h"
#include "conf/tree.h"
#include "conf/units.h"

namespace portunus::conf {
namespace {

using namespace std::string_view_literals;

constexpr std::uint64_t kKiB = 1024;
constexpr std::uint64_t kMiB = 1024 * kKiB;

void read_threads(Reader& reader, const Key& key, const Node& value, void* object) {
  auto& threads = static_cast<Draft*>(object)->model.threads;
  if (value.kind == NodeKind::scalar && value.text == "auto") {
    threads = 0;
  } else {
    reader.read(key, value, threads);
  }
}

void read_include(Reader& reader, const Key& key, const Node& value, void* /*object*/) {
  for (const Node* item : reader.items(key, value)) {
    const auto pattern = reader.text(key, *item);
    if (!pattern) continue;
    reader.draft().includes.push_back({std::string(*pattern), item->place});
  }
}

// ---- clients ----

constexpr std::uint64_t kClientsMax = 1'000'000;
constexpr std::uint64_t kMinRateMax = 1024 * kKiB;  // bytes in a second

// "512/s", "1KiB/s".
void read_min_rate(Reader& reader, const Key& key, const Node& value, void* object) {
  const auto text = reader.text(key, value);
  if (!text) return;
  const bool is_per_second = text->ends_with("/s");
  const std::string_view amount = text->substr(0, text->size() - (is_per_second ? 2 : 0));
  auto bytes = parse_integer(amount);
  if (!bytes) bytes = parse_size(amount);
  if (!is_per_second || !bytes || *bytes > kMinRateMax) {
    reader.error(value.place, "`min_rate`: " + in_quotes(*text) +
                                  ": expected bytes in a second, at most 1MiB, such as `512/s` or "
                                  "`1KiB/s`; `0/s` asks for none");
    return;
  }
  static_cast<ClientTimeouts*>(object)->min_rate = *bytes;
}

// NOLINTNEXTLINE(readability-function-size): one table, a row for each key
const Section& limits_section() {
  static const auto keys = std::to_array<Key>({
      {.name = "header_bytes",
       .type = Type::size,
       .read = field<&Limits::header_bytes>,
       .initial = "32KiB",
       .doc = "Names and values of all header fields of a request together; more is answered with "
              "431.",
       .min = kKiB,
       .max = 128 * kKiB},
      {.name = "header_count",
       .type = Type::integer,
       .read = field<&Limits::header_count>,
       .initial = "100",
       .doc = "Header fields of a request; more are answered with 431.",
       .min = 1,
       .max = 120},
      {.name = "uri_bytes",
       .type = Type::size,
       .read = field<&Limits::uri_bytes>,
       .initial = "8KiB",
       .doc = "The request target; a longer one is answered with 414.",
       .min = 256,
       .max = 64 * kKiB},
      {.name = "body_bytes",
       .type = Type::size,
       .read = field<&Limits::body_bytes>,
       .initial = "0",
       .doc = "The body of a request; a larger one is answered with 413. 0 = no limit. A route may "
              "have its own."},
      {.name = "requests_per_connection",
       .type = Type::integer,
       .read = field<&Limits::requests_per_connection>,
       .initial = "10000",
       .doc = "After so many requests a client's connection is closed.",
       .min = 1},
      {.name = "h2_concurrent_streams",
       .type = Type::integer,
       .read = field<&Limits::h2_concurrent_streams>,
       .initial = "128",
       .doc = "Requests that one HTTP/2 connection may have open at once.",
       .min = 1,
       .max = 10'000},
      {.name = "h2_budgets",
       .type = Type::section,
       .read = field<&Limits::h2_budgets>,
       .doc =
           "What one HTTP/2 connection may do that costs Portunus more than it: beyond that it is "
           "closed with ENHANCE_YOUR_CALM, and counted (`portunus_http2_floods_stopped_total`). Of "
           "members' connections too.",
       .section = &h2_budgets_section()},
      {.name = "client_connections",
       .type = Type::integer,
       .read = field<&Limits::client_connections>,
       .initial = "0",
       .doc = "Connections of one address at a time, at all listeners; more are closed at once. "
              "Those of `trusted_proxies`, and of peers that speak the PROXY protocol, are not "
              "counted. 0 = no limit: whole offices share an address.",
       .max = kClientsMax},
      {.name = "client_requests",
       .type = Type::integer,
       .read = field<&Limits::client_requests>,
       .initial = "0",
       .doc = "Requests of one client in flight, tunnels included; more are answered with 429. "
              "Clients behind `trusted_proxies` are told apart. 0 = no limit.",
       .max = kClientsMax},
      {.name = "client_ipv6_prefix",
       .type = Type::integer,
       .read = field<&Limits::client_ipv6_prefix>,
       .initial = "64",
       .doc = "So many bits of an IPv6 address make one client of these two.",
       .min = 16,
       .max = 128},
  });
  static const Section section{"`limits`", keys, {}};
  return section;
}

constexpr auto kTimeoutsKeys = std::to_array<Key>({
    {.name = "headers",
     .type = Type::duration,
     .read = field<&ClientTimeouts::headers>,
     .initial = "10s",
     .doc = "From the first byte of a request, or the opening of the connection, to the end of its "
            "header section.",
     .min = 10,
     .max = kHour},
    {.name = "body",
     .type = Type::duration,
     .read = field<&ClientTimeouts::body>,
     .initial = "30s",
     .doc = "Between two reads of a request's body.",
     .min = 10,
     .max = kDay},
    {.name = "write",
     .type = Type::duration,
     .read = field<&ClientTimeouts::write>,
     .initial = "30s",
     .doc = "A client that takes no byte of its answer for so long is cut off.",
     .min = 10,
     .max = kDay},
    {.name = "keep_alive",
     .type = Type::duration,
     .read = field<&ClientTimeouts::keep_alive>,
     .initial = "60s",
     .doc = "An open connection without a request is closed after this.",
     .min = 10,
     .max = kDay},
    {.name = "min_rate",
     .type = Type::text,
     .read = read_min_rate,
     .initial = "512/s",
     .doc = "A client whose body comes more slowly is answered with 408: measured over each `body` "
            "of time (`30s`) after the first, while nothing else than the client is waited for. "
            "Not with gRPC, nor once the answer has begun. `0/s` = any rate."},
});
constexpr Section kTimeouts{"`timeouts`", kTimeoutsKeys, {}};

void read_trusted_proxies(Reader& reader, const Key& key, const Node& value, void* object) {
  reader.read_networks(key, value, static_cast<Draft*>(object)->model.trusted_proxies);
}

// ---- the root ----

template <auto kMember>
void part(Reader& reader, const Key& key, const Node& value, void* object) {
  reader.read(key, value, static_cast<Draft*>(object)->model.*kMember);
}

void read_state(Reader& reader, const Key& key, const Node& value, void* object) {
  if (const auto path = reader.folder(key, value)) static_cast<Draft*>(object)->model.state = *path;
}

constexpr std::array kLaterRootKeys{"acme"sv};

}  // namespace

// NOLINTNEXTLINE(readability-function-size): one table, a row for each key
const Section& root_section() {
  static const auto keys = std::to_array<Key>({
      {.name = "sites",
       .type = Type::map,
       .read = read_sites,
       .doc = "What is served: `example.com`, `*.example.com`, `\"*\"`, `\"http://:8080\"`, "
              "`\"https://example.com:8443\"`. A single `host:port`, or a list of members, is a "
              "pool of its own.",
       .section = &site_section(),
       .also = kAlsoText | kAlsoList,
       .is_required = false,
       .may_repeat = true},
      {.name = "pools",
       .type = Type::map,
       .read = read_pools,
       .doc = "Groups of upstreams that share requests, by name. A list alone is the pool's "
              "`upstreams`.",
       .section = &pool_section(),
       .also = kAlsoText | kAlsoList,
       .may_repeat = true},
      {.name = "services",
       .type = Type::map,
       .read = read_services,
       .doc = "Local programs that `portunus run` keeps running, by name: letters, digits, `-`, "
              "`_` and `.`; at most 64.",
       .section = &service_section(),
       .may_repeat = true},
      {.name = "listeners",
       .type = Type::map,
       .read = read_listeners,
       .doc =
           "Addresses that clients connect to, by name. A single value is the `address`. "
           "Without any, sites "
           "whose key has no port listen on `http`, which is `:80`, and those with TLS on `https` "
           "as well, which is `:443`.",
       .section = &listener_section(),
       .also = kAlsoText,
       .may_repeat = true},
      {.name = "threads",
       .type = Type::integer,
       .read = read_threads,
       .initial = "auto",
       .doc = "Threads that carry requests; `auto` = the CPUs available to the process.",
       .min = 1,
       .max = kThreadsMax},
      {.name = "user",
       .type = Type::text,
       .read = part<&Model::user>,
       .initial = "\"\"",
       .doc = "Whom the proxy runs as when `portunus run` is started as root: a name or a number; "
              "empty = root."},
      {.name = "state",
       .type = Type::text,
       .read = read_state,
       .initial = "\"\"",
       .doc = "The folder for what outlives a restart, such as the logs of services: an absolute "
              "path; empty = the usual one for whoever starts `portunus run`."},
      {.name = "include",
       .type = Type::list,
       .read = read_include,
       .doc = "Further files, such as `[conf.d/*.yaml]`, relative to this one; sorted. Their "
              "sites, pools, "
              "services and listeners are added; any other key may stand in one file only.",
       .may_repeat = true},
      {.name = "tls",
       .type = Type::section,
       .read = part<&Model::tls>,
       .doc = "What listeners with TLS have in common.",
       .section = &tls_section()},
      {.name = "limits",
       .type = Type::section,
       .read = part<&Model::limits>,
       .doc = "Of what clients may send.",
       .section = &limits_section()},
      {.name = "timeouts",
       .type = Type::section,
       .read = part<&Model::timeouts>,
       .doc = "Of clients.",
       .section = &kTimeouts},
      {.name = "overload",
       .type = Type::section,
       .read = part<&Model::overload>,
       .doc = "When requests are refused because Portunus itself is short, by the `priority` of "
              "their routes.",
       .section = &shedding_section()},
      {.name = "trusted_proxies",
       .type = Type::list,
       .read = read_trusted_proxies,
       .initial = "[]",
       .doc = "Addresses and networks whose `X-Forwarded-*` and `Forwarded` are believed; anyone "
              "else's are "
              "replaced."},
      {.name = "forwarded_header",
       .type = Type::boolean,
       .read = part<&Model::forwarded_header>,
       .initial = "false",
       .doc = "Send members `Forwarded` (RFC 7239) besides `X-Forwarded-*`."},
      {.name = "consul",
       .type = Type::section,
       .read = read_consul,
       .doc = "The agents that are asked for the members of pools with `consul`. A list or a "
              "single value is their `address`.",
       .section = &consul_section(),
       .also = kAlsoText | kAlsoList},
      {.name = "admin",
       .type = Type::section,
       .read = read_admin,
       .doc = "The operator's interface. A single value is its `listen`.",
       .section = &admin_section(),
       .also = kAlsoText},
      {.name = "log",
       .type = Type::section,
       .read = part<&Model::log>,
       .doc = "What the program says about itself.",
       .section = &log_section()},
      {.name = "access_log",
       .type = Type::section,
       .read = read_access_log,
       .doc = "One line for each request; none without this key. A single value is the `output`, "
              "or `off`.",
       .section = &access_log_section(),
       .also = kAlsoText},
      {.name = "shutdown",
       .type = Type::section,
       .read = part<&Model::shutdown>,
       .doc = "What SIGTERM does.",
       .section = &shutdown_section()},
  });
  static const Section root{"the file", keys, kLaterRootKeys};
  return root;
}

}  // namespace portunus::conf
