#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "conf/consul_reader.h"
#include "conf/draft.h"
#include "conf/header_text.h"
#include "conf/model.h"
#include "conf/pool_draft.h"
#include "conf/pool_reader.h"
#include "conf/reader.h"
#include "conf/schema.h"
#include "conf/tree.h"
#include "conf/units.h"

namespace portunus::conf {
namespace {

using namespace std::string_view_literals;

template <auto kMember>
void pool_field(Reader& reader, const Key& key, const Node& value, void* object) {
  reader.read(key, value, static_cast<PoolDraft*>(object)->pool.*kMember);
}

void pool_health(Reader& reader, const Key& key, const Node& value, void* object) {
  auto& draft = *static_cast<PoolDraft*>(object);
  draft.health_place = value.place;
  read_health(reader, key, value, &draft.pool.health);
}

void pool_retry(Reader& reader, const Key& key, const Node& value, void* object) {
  read_retry(reader, key, value, &static_cast<PoolDraft*>(object)->pool.retry);
}

void pool_passive(Reader& reader, const Key& key, const Node& value, void* object) {
  read_passive(reader, key, value, &static_cast<PoolDraft*>(object)->pool.passive);
}

void pool_circuit_breaker(Reader& reader, const Key& key, const Node& value, void* object) {
  read_circuit_breaker(reader, key, value, &static_cast<PoolDraft*>(object)->pool.breaker);
}

void pool_overload(Reader& reader, const Key& key, const Node& value, void* object) {
  read_overload(reader, key, value, &static_cast<PoolDraft*>(object)->pool.overload);
}

void pool_sticky(Reader& reader, const Key& key, const Node& value, void* object) {
  read_sticky(reader, key, value, &static_cast<PoolDraft*>(object)->pool.sticky);
}

void pool_consul(Reader& reader, const Key& key, const Node& value, void* object) {
  Pool& pool = static_cast<PoolDraft*>(object)->pool;
  read_consul_service(reader, key, value, &pool.consul);
  pool.is_dynamic = true;
}

void read_pool_host(Reader& reader, const Key& key, const Node& value, void* object) {
  const auto text = reader.text(key, value);
  if (text && !text->empty() && read_host_field(reader, key, value)) {
    static_cast<PoolDraft*>(object)->pool.host = *text;
  }
}

void pool_tls(Reader& reader, const Key& key, const Node& value, void* object) {
  read_upstream_tls(reader, key, value, static_cast<PoolDraft*>(object)->pool);
}

constexpr std::array kProxyVersions{"off"sv, "v1"sv, "v2"sv};

constexpr std::array kMemberProtocols{"h1"sv, "h2"sv, "h2c"sv};

void read_protocol(Reader& reader, const Key& key, const Node& value, void* object) {
  PoolDraft& draft = *static_cast<PoolDraft*>(object);
  const auto choice = reader.read_choice(key, value);
  if (!choice) return;
  draft.pool.protocol = static_cast<UpstreamProtocol>(*choice);
  draft.protocol_place = value.place;
}

void check_protocol(Reader& reader, const PoolDraft& draft) {
  const Pool& pool = draft.pool;
  if (draft.health_place && pool.health.kind == ProbeKind::grpc && pool.tls &&
      pool.protocol == UpstreamProtocol::h1) {
    reader.error(*draft.health_place,
                 "a `grpc` probe is HTTP/2, and the pool has `tls` for HTTP/1.1",
                 "give the pool `protocol: h2`");
  }
  if (!draft.protocol_place) return;
  if (pool.protocol == UpstreamProtocol::h2 && !pool.tls) {
    reader.error(*draft.protocol_place,
                 "`protocol: h2` is HTTP/2 over TLS, and the pool has no `tls`",
                 "`h2c` is HTTP/2 in the clear");
  }
  if (pool.protocol == UpstreamProtocol::h2c && pool.tls) {
    reader.error(*draft.protocol_place,
                 "`protocol: h2c` is HTTP/2 in the clear, and the pool has `tls`",
                 "`h2` is HTTP/2 over TLS");
  }
  if (pool.protocol != UpstreamProtocol::h1 && pool.proxy_protocol != net::ProxyVersion::none) {
    reader.error(
        *draft.protocol_place,
        "`proxy_protocol` names one client for a connection, and over HTTP/2 many share it",
        "leave one of the two out");
  }
}

constexpr std::array kLaterPoolKeys{"dns"sv};

Key health_key() {
  return {
      .name = "health",
      .type = Type::section,
      .read = pool_health,
      .doc =
          "Active probes; a TCP probe every 10s when the key is missing. `off` = members always "
          "count as up.",
      .section = &health_section(),
      .also = kAlsoText};
}

Key tls_key() {
  return {
      .name = "tls",
      .type = Type::section,
      .read = pool_tls,
      .doc =
          "TLS with members, for requests and probes. `true`: members are verified against what "
          "the system trusts, by the host of each upstream. Without this key: in the clear.",
      .section = &upstream_tls_section(),
      .also = kAlsoText};
}

Key host_key() {
  return {.name = "host",
          .type = Type::text,
          .read = read_pool_host,
          .initial = "\"\"",
          .doc = "The `Host` that members get; empty = the client's, as it came."};
}

Key proxy_protocol_key() {
  return {
      .name = "proxy_protocol",
      .type = Type::choice,
      .read = pool_field<&Pool::proxy_protocol>,
      .initial = "off",
      .doc =
          "Connections to members begin with a PROXY header of this version, which says who the "
          "client is. Each carries one request then. Probes say that they are nobody's.",
      .choices = kProxyVersions};
}

Key protocol_key() {
  return {.name = "protocol",
          .type = Type::choice,
          .read = read_protocol,
          .initial = "h1",
          .doc =
              "What members speak: `h1` = HTTP/1.1, over TLS where the pool has `tls`; `h2` = "
              "HTTP/2 over TLS; `h2c` = HTTP/2 in the clear, known beforehand. Over HTTP/2 many "
              "requests share a connection. gRPC needs one of the latter two. Probes speak the "
              "same.",
          .choices = kMemberProtocols};
}

Key retry_key() {
  return {.name = "retry",
          .type = Type::section,
          .read = pool_retry,
          .doc =
              "What is done when a member does not answer: another member at once, then a pause. "
              "`off` = each request is tried once.",
          .section = &retry_section(),
          .also = kAlsoText};
}

Key passive_key() {
  return {.name = "passive",
          .type = Type::section,
          .read = pool_passive,
          .doc =
              "What real traffic says about members: those that fail are ejected for a time, as "
              "long as enough others are left. `off` = probes alone decide.",
          .section = &passive_section(),
          .also = kAlsoText};
}

Key circuit_breaker_key() {
  return {.name = "circuit_breaker",
          .type = Type::section,
          .read = pool_circuit_breaker,
          .doc =
              "A member that fails too often or answers too slowly gets no request for "
              "`open_for`, then a few, and all of them again when those went well; even when it "
              "is the last one of the pool. None without this key; `true` = as below.",
          .section = &circuit_breaker_section(),
          .also = kAlsoText};
}

constexpr std::array kWhenUnhealthy{"fail"sv, "last_known"sv, "all"sv};

Key when_unhealthy_key() {
  return {.name = "when_unhealthy",
          .type = Type::choice,
          .read = pool_field<&Pool::when_unhealthy>,
          .initial = "fail",
          .doc =
              "While no member is up, requests go: `fail` = nowhere, they wait as `retry` says "
              "and are answered with 503; `last_known` = to those that were up last; `all` = to "
              "all that are down. Never to one that is drained or disabled, whose circuit "
              "breaker is open, or that has yet to be probed.",
          .choices = kWhenUnhealthy};
}

Key sticky_key() {
  return {.name = "sticky",
          .type = Type::section,
          .read = pool_sticky,
          .doc =
              "A client's requests go to the member that answered its first one, which a signed "
              "cookie names; to another one only while that is not up, and then to that one. Not "
              "without this key; `true` = as below.",
          .section = &sticky_section(),
          .also = kAlsoText};
}

Key consul_key() {
  return {.name = "consul",
          .type = Type::section,
          .read = pool_consul,
          .doc =
              "Members that Consul knows as instances of this service, besides `upstreams`: they "
              "come, go and drain as they are registered, and are probed as all others. A single "
              "value is the `service`.",
          .section = &consul_service_section(),
          .also = kAlsoText};
}

Key slow_start_key() {
  return {.name = "slow_start",
          .type = Type::duration,
          .read = pool_field<&Pool::slow_start>,
          .initial = "0s",
          .doc =
              "A member that joins or comes back gets a tenth of its weight first, and evenly more "
              "until it has all of it after this time. Not while there is none that has more: all "
              "that were started together share alike. 0 = its whole weight at once.",
          .max = kHour};
}

}  // namespace

const Section& pool_section() {
  static const auto keys = std::to_array<Key>({
      {.name = "upstreams",
       .type = Type::list,
       .read = read_upstreams,
       .doc = "The members. A single value is the `address`. Required, but for a pool that the "
              "replicas of a service join, or with `consul`.",
       .section = &upstream_section(),
       .also = kAlsoText},
      consul_key(),
      balance_key(),
      hash_on_key(),
      hash_bound_key(),
      slow_start_key(),
      {.name = "max_connections_per_upstream",
       .type = Type::integer,
       .read = pool_field<&Pool::max_connections_per_upstream>,
       .initial = "512",
       .doc = "Requests at one member at a time, each on a connection of its own (over HTTP/2 they "
              "share some); those beyond it wait (see `overload`). An idle connection of another "
              "thread may come on top until "
              "the next request ends.",
       .min = 1,
       .max = 1'000'000},
      {.name = "overload",
       .type = Type::section,
       .read = pool_overload,
       .doc = "Bounds of what is at the pool's members and of what waits for them.",
       .section = &overload_section()},
      health_key(),
      {.name = "timeouts",
       .type = Type::section,
       .read = pool_field<&Pool::timeouts>,
       .doc = "Towards members.",
       .section = &pool_timeouts_section()},
      retry_key(),
      passive_key(),
      circuit_breaker_key(),
      when_unhealthy_key(),
      sticky_key(),
      protocol_key(),
      tls_key(),
      host_key(),
      proxy_protocol_key(),
  });
  static const Section section{"a pool", keys, kLaterPoolKeys};
  return section;
}

void probe_as_pool(const Pool& pool, Health& health) {
  if (health.port == 0) health.proxy_protocol = pool.proxy_protocol;
  health.speaks_h2 = health.kind == ProbeKind::grpc || pool.protocol == UpstreamProtocol::h2 ||
                     (pool.protocol == UpstreamProtocol::h2c && health.port == 0);
}

Pool read_pool(Reader& reader, const Node& value) {
  PoolDraft draft;
  if (value.kind == NodeKind::sequence || value.kind == NodeKind::scalar) {
    read_upstreams(reader, pool_section().keys.front(), value, &draft);
  } else {
    reader.read_section(pool_section(), value, &draft);
  }
  check_hash(reader, draft);
  check_protocol(reader, draft);
  probe_as_pool(draft.pool, draft.pool.health);
  return std::move(draft.pool);
}

void read_pools(Reader& reader, const Key& key, const Node& value, void* object) {
  Draft& draft = *static_cast<Draft*>(object);
  for (const auto& [name, body] : reader.entries(key, value)) {
    if (!reader.check_name(*name, "a pool")) continue;
    const auto [known, is_new] = draft.pool_names.emplace(name->text, draft.model.pools.size());
    if (!is_new) {
      reader.report_second(*name, "the pool", draft.pool_places[known->second]);
      continue;
    }
    Pool pool = read_pool(reader, *body);
    pool.name = name->text;
    // Whether a service feeds it is known when all files are read.
    if (body->kind == NodeKind::null ||
        (body->kind == NodeKind::mapping && find_key(*body, "upstreams") == nullptr)) {
      draft.bare_pools.push_back({pool.name, body->place, draft.model.pools.size()});
    }
    draft.model.pools.push_back(std::move(pool));
    draft.pool_places.push_back(name->place);
  }
}

}  // namespace portunus::conf
