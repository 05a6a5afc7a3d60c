#include "proxy/metrics.h"

#include <algorithm>

#include "base/clock.h"
#include "proxy/metrics_store.h"

namespace portunus::proxy {
namespace {

using base::EndReason;

template <typename Enum>
constexpr std::size_t index_of(Enum value) {
  return static_cast<std::size_t>(value);
}

SeriesKey listener_key(std::uint32_t listener_id) {
  return {pack_ids(listener_id, 0), 0};
}
SeriesKey pool_key(std::uint32_t pool_id) {
  return {pack_ids(pool_id, 0), 0};
}
SeriesKey member_key(const health::Member& member) {
  return {pack_ids(member.metrics_id, 0), 0};
}

// Status codes are 100 to 599; 0 stands for none and for what cannot be.
std::uint32_t known_code(std::uint16_t status) {
  return status >= 100 && status <= 599 ? status : 0;
}

SeriesKey request_key(const ExchangeRecord& record) {
  const auto method = static_cast<std::uint32_t>(record.request != nullptr ? record.request->method
                                                                           : http::Method::other);
  const std::uint32_t protocol = record.request != nullptr
                                     ? static_cast<std::uint32_t>(record.request->protocol)
                                     : MetricsStore::kNoProtocol;
  const std::uint32_t route = record.route != nullptr ? record.route->metrics_id : 0;
  return {pack_ids(record.listener, route),
          pack_ids(record.pool_id, known_code(record.status) << 16 | method << 8 | protocol)};
}

RequestCell& request_cell(MetricsStore& store, SeriesKey key) {
  if (RequestCell* const cell = store.requests.find(key); cell != nullptr) return *cell;
  if (store.requests.size() >= MetricsStore::kRequestSeriesMax) {
    const auto method = static_cast<std::uint32_t>(http::Method::other);
    key = {pack_ids(0, MetricsStore::kOtherRoute),
           pack_ids(0, method << 8 | MetricsStore::kNoProtocol)};
    if (RequestCell* const cell = store.requests.find(key); cell != nullptr) return *cell;
  }
  RouteCell& route = store.routes.find_or_add({key.a, 0});
  DurationCell& duration = store.durations.find_or_add({key.a, (low_id(key.b) >> 16) / 100});
  return store.requests.add(key, [&route, &duration](RequestCell& cell) {
    cell.route = &route;
    cell.duration = &duration;
  });
}

// Requests that we refused instead of passing them on.
bool is_rejection(EndReason reason) {
  static_assert(EndReason::no_healthy_upstream < EndReason::rejected_request_line);
  return reason >= EndReason::no_healthy_upstream && reason <= EndReason::rejected_forward_auth;
}

bool is_live(const std::vector<std::uint32_t>& live, std::uint32_t id) {
  return id == 0 || id == MetricsStore::kOtherRoute || std::ranges::binary_search(live, id);
}

template <typename Cells>
void copy_all(Cells& to, const Cells& from) {
  for (std::size_t i = 0; i < from.size(); ++i)
    to[i].add(from[i].value());
}

void copy_histogram(base::LatencyHistogram& to, const base::LatencyHistogram& from) {
  base::LatencySum sum;
  from.add_to(sum);
  to.add(sum);
}

void copy_listeners(MetricsStore& to, const MetricsStore& from, const MetricsRegistry::Live& live) {
  from.listeners.for_each([&](const ListenerCell& old) {
    if (!is_live(live.listeners, high_id(old.key.a))) return;
    ListenerCell& cell = to.listeners.add(old.key);
    cell.connections.add(old.connections.value());
    cell.connections_total.add(old.connections_total.value());
    copy_all(cell.connections_rejected, old.connections_rejected);
    cell.in_flight.add(old.in_flight.value());
    copy_all(cell.requests_rejected, old.requests_rejected);
    cell.requests_reported.add(old.requests_reported.value());
    copy_all(cell.handshakes_failed, old.handshakes_failed);
    copy_all(cell.handshakes, old.handshakes);
    for (std::size_t i = 0; i < cell.handshake_durations.size(); ++i)
      copy_histogram(cell.handshake_durations[i], old.handshake_durations[i]);
    cell.h2_connections.add(old.h2_connections.value());
    cell.h2_streams.add(old.h2_streams.value());
    copy_all(cell.h2_resets, old.h2_resets);
    cell.h2_goaways.add(old.h2_goaways.value());
    copy_all(cell.h2_floods, old.h2_floods);
  });
  from.sites.for_each([&](const SiteCell& old) {
    if (!is_live(live.sites, high_id(old.key.a))) return;
    SiteCell& cell = to.sites.add(old.key);
    copy_all(cell.handshakes, old.handshakes);
    copy_all(cell.handshakes_failed, old.handshakes_failed);
  });
}

void copy_requests(MetricsStore& to, const MetricsStore& from, const MetricsRegistry::Live& live) {
  const auto is_kept = [&live](std::uint64_t listener_and_route) {
    return is_live(live.listeners, high_id(listener_and_route)) &&
           is_live(live.routes, low_id(listener_and_route));
  };
  from.routes.for_each([&](const RouteCell& old) {
    if (!is_kept(old.key.a)) return;
    RouteCell& cell = to.routes.add(old.key);
    cell.bytes_in.add(old.bytes_in.value());
    cell.bytes_out.add(old.bytes_out.value());
    copy_histogram(cell.first_byte, old.first_byte);
  });
  from.durations.for_each([&](const DurationCell& old) {
    if (is_kept(old.key.a)) copy_histogram(to.durations.add(old.key).duration, old.duration);
  });
  from.requests.for_each([&](const RequestCell& old) {
    if (!is_kept(old.key.a) || !is_live(live.pools, high_id(old.key.b))) return;
    request_cell(to, old.key).requests.add(old.requests.value());
  });
}

void copy_upstreams(MetricsStore& to, const MetricsStore& from, const MetricsRegistry::Live& live) {
  from.pools.for_each([&](const PoolCell& old) {
    if (!is_live(live.pools, high_id(old.key.a))) return;
    PoolCell& cell = to.pools.add(old.key);
    cell.queued.add(old.queued.value());
    copy_all(cell.upgraded, old.upgraded);
    for (std::size_t i = 0; i < kPhases; ++i)
      copy_histogram(cell.phases[i], old.phases[i]);
    for (std::size_t i = 0; i < old.retries.size(); ++i)
      copy_all(cell.retries[i], old.retries[i]);
    copy_all(cell.denials, old.denials);
    copy_all(cell.sticky, old.sticky);
  });
  from.members.for_each([&](const MemberCell& old) {
    if (!is_live(live.members, high_id(old.key.a))) return;
    MemberCell& cell = to.members.add(old.key);
    copy_histogram(cell.duration, old.duration);
    copy_all(cell.errors, old.errors);
  });
  from.codes.for_each([&](const CodeCell& old) {
    if (!is_live(live.members, high_id(old.key.a))) return;
    to.codes.add(old.key).requests.add(old.requests.value());
  });
}

void copy_codings(MetricsStore& to, const MetricsStore& from) {
  from.codings.for_each([&](const CodingCell& old) {
    CodingCell& cell = to.codings.add(old.key);
    cell.answers.add(old.answers.value());
    cell.bytes_in.add(old.bytes_in.value());
    cell.bytes_out.add(old.bytes_out.value());
    cell.busy.add(old.busy.value());
  });
}

}  // namespace

void MetricsStoreDeleter::operator()(MetricsStore* store) const {
  std::default_delete<MetricsStore>{}(store);
}

MetricsShard::MetricsShard() : store_(std::make_unique<MetricsStore>().release()) {}

MetricsShard::~MetricsShard() {
  MetricsStoreDeleter{}(store_.load(std::memory_order_relaxed));
}

void MetricsShard::connection_opened(std::uint32_t listener_id) {
  ListenerCell& cell = mine().listeners.find_or_add(listener_key(listener_id));
  cell.connections.add(1);
  cell.connections_total.add();
}

void MetricsShard::connection_closed(std::uint32_t listener_id) {
  mine().listeners.find_or_add(listener_key(listener_id)).connections.add(-1);
}

void MetricsShard::connections_renamed(std::uint32_t from, std::uint32_t to, std::size_t count) {
  const auto amount = static_cast<std::int64_t>(count);
  mine().listeners.find_or_add(listener_key(from)).connections.add(-amount);
  mine().listeners.find_or_add(listener_key(to)).connections.add(amount);
}

ConnectionRejection rejection_of(std::string_view why) {
  if (why == "too slow") return ConnectionRejection::proxy_header_timeout;
  if (why == "closed by us") return ConnectionRejection::shutdown;
  return ConnectionRejection::proxy_header;
}

void MetricsShard::connection_rejected(std::uint32_t listener_id, ConnectionRejection reason) {
  ListenerCell& cell = mine().listeners.find_or_add(listener_key(listener_id));
  cell.connections_rejected[index_of(reason)].add();
}

void MetricsShard::exchange_started(std::uint32_t listener_id) {
  mine().listeners.find_or_add(listener_key(listener_id)).in_flight.add(1);
}

void MetricsShard::exchange_ended(std::uint32_t listener_id) {
  mine().listeners.find_or_add(listener_key(listener_id)).in_flight.add(-1);
}

void MetricsShard::record(const ExchangeRecord& record) {
  RequestCell& cell = request_cell(mine(), request_key(record));
  cell.requests.add();
  cell.duration->duration.observe(base::between(record.started_ns, record.ended_ns));
  RouteCell& route = *cell.route;
  if (record.bytes_in != 0) route.bytes_in.add(record.bytes_in);
  route.bytes_out.add(record.bytes_out);
  if (record.first_byte_ns != 0) {
    route.first_byte.observe(base::between(record.started_ns, record.first_byte_ns));
  }
  if (is_rejection(record.end_reason)) {
    ListenerCell& listener = mine().listeners.find_or_add(listener_key(record.listener));
    listener.requests_rejected[index_of(record.end_reason)].add();
  }
  if (record.reported_reason == EndReason::rate_limited) {
    mine().listeners.find_or_add(listener_key(record.listener)).requests_reported.add();
  }
}

void MetricsShard::upgraded_started(std::uint32_t pool_id, UpgradeKind kind) {
  mine().pools.find_or_add(pool_key(pool_id)).upgraded[index_of(kind)].add(1);
}

void MetricsShard::upgraded_ended(std::uint32_t pool_id, UpgradeKind kind) {
  mine().pools.find_or_add(pool_key(pool_id)).upgraded[index_of(kind)].add(-1);
}

void MetricsShard::queue_entered(std::uint32_t pool_id) {
  mine().pools.find_or_add(pool_key(pool_id)).queued.add(1);
}

void MetricsShard::queue_left(std::uint32_t pool_id) {
  mine().pools.find_or_add(pool_key(pool_id)).queued.add(-1);
}

void MetricsShard::attempt_done(const AttemptRecord& attempt) {
  PoolCell& pool = mine().pools.find_or_add(pool_key(attempt.pool_id));
  const std::array<std::uint64_t, kPhases> phases{
      attempt.queue_ns, attempt.connect_ns, attempt.tls_ns, attempt.first_byte_ns, attempt.body_ns};
  for (std::size_t i = 0; i < kPhases; ++i) {
    if (phases[i] != 0) pool.phases[i].observe(phases[i]);
  }
  if (attempt.member == nullptr) return;
  const SeriesKey key = member_key(*attempt.member);
  mine().members.find_or_add(key).duration.observe(attempt.total_ns);
  mine().codes.find_or_add({key.a, known_code(attempt.status)}).requests.add();
}

void MetricsShard::upstream_error(const health::Member& member, EndReason reason) {
  mine().members.find_or_add(member_key(member)).errors[index_of(reason)].add();
}

void MetricsShard::retry(std::uint32_t pool_id, EndReason reason, RetryResult result) {
  PoolCell& pool = mine().pools.find_or_add(pool_key(pool_id));
  pool.retries[index_of(reason)][index_of(result)].add();
}

void MetricsShard::retry_denied(std::uint32_t pool_id, RetryDenial reason) {
  mine().pools.find_or_add(pool_key(pool_id)).denials[index_of(reason)].add();
}

void MetricsShard::sticky(std::uint32_t pool_id, StickyResult result) {
  mine().pools.find_or_add(pool_key(pool_id)).sticky[index_of(result)].add();
}

void MetricsShard::forward_auth(std::uint32_t pool_id, AuthResult result) {
  mine().pools.find_or_add(pool_key(pool_id)).auth[index_of(result)].add();
}

void MetricsShard::compressed(http::ContentCoding coding,
                              std::uint64_t bytes_in,
                              std::uint64_t bytes_out) {
  CodingCell& cell = mine().codings.find_or_add({index_of(coding), 0});
  cell.answers.add();
  cell.bytes_in.add(bytes_in);
  cell.bytes_out.add(bytes_out);
}

void MetricsShard::compression_busy(http::ContentCoding coding) {
  mine().codings.find_or_add({index_of(coding), 0}).busy.add();
}

RetiredMetrics MetricsShard::compact(const MetricsRegistry::Live& live) {
  auto fresh = std::make_unique<MetricsStore>();
  MetricsStore& old = mine();
  copy_listeners(*fresh, old, live);
  copy_requests(*fresh, old, live);
  copy_upstreams(*fresh, old, live);
  copy_codings(*fresh, old);
  store_.store(fresh.release(), std::memory_order_release);
  return RetiredMetrics(&old);
}

Metrics::Metrics() : started_s_(static_cast<double>(base::wall_us()) / 1e6) {}
Metrics::~Metrics() = default;

MetricsShard& Metrics::add_shard() {
  shards_.push_back(std::make_unique<MetricsShard>());
  return *shards_.back();
}

}  // namespace portunus::proxy
