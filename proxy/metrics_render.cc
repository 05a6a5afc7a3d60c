// The families that the shards' cells carry. Every family gathers its own sums, so that its samples
// stand together as the text format demands; the rest is in metrics_state.cc.
#include "proxy/metrics_render.h"

#include <algorithm>
#include <string>

#include "http/message.h"
#include "proxy/metrics_store.h"

namespace portunus::proxy {
namespace {

using Type = MetricsText::Type;
using base::LatencySum;

template <typename Value>
struct Summed {
  SeriesKey key;
  Value value{};
};

void add_up(std::uint64_t& to, std::uint64_t value) {
  to += value;
}
void add_up(std::int64_t& to, std::int64_t value) {
  to += value;
}
void add_up(LatencySum& to, const LatencySum& value) {
  for (std::size_t i = 0; i < base::kLatencyBuckets; ++i)
    to.buckets[i] += value.buckets[i];
  to.sum_ns += value.sum_ns;
}

LatencySum sum_of(const base::LatencyHistogram& histogram) {
  LatencySum sum;
  histogram.add_to(sum);
  return sum;
}

bool is_zero(const LatencySum& sum) {
  return std::ranges::all_of(sum.buckets, [](std::uint64_t n) { return n == 0; });
}
bool is_zero(std::uint64_t value) {
  return value == 0;
}

// `visit(store, emit)` calls emit(key, value) for each of its cells. The result is sorted by key.
template <typename Value, typename Visit>
std::vector<Summed<Value>> gather(const MetricsSource& source, Visit visit) {
  std::vector<Summed<Value>> all;
  for (const auto& shard : source.shards) {
    visit(shard->store(),
          [&all](const SeriesKey& key, const Value& value) { all.push_back({key, value}); });
  }
  std::ranges::sort(all, {}, &Summed<Value>::key);
  std::vector<Summed<Value>> merged;
  for (const Summed<Value>& one : all) {
    if (merged.empty() || merged.back().key != one.key) {
      merged.push_back(one);
    } else {
      add_up(merged.back().value, one.value);
    }
  }
  return merged;
}

// The names of one key; is_known is false when one of them is forgotten.
struct Names {
  std::string_view listener;
  std::string_view route;
  std::string_view pool;
  std::string_view member;
  bool is_known = true;

  void take(std::string_view& name, const MetricsRegistry::Row* row, std::uint32_t id) {
    if (row != nullptr) {
      name = row->name;
    } else if (id != 0) {
      is_known = false;
    }
  }
};

Names listener_and_route(const MetricsSource& source, std::uint64_t packed) {
  Names names;
  names.take(names.listener, source.registry.listener(high_id(packed)), high_id(packed));
  if (low_id(packed) == MetricsStore::kOtherRoute) {
    names.route = "_OTHER";
  } else {
    names.take(names.route, source.registry.route(low_id(packed)), low_id(packed));
  }
  return names;
}

Names member_names(const MetricsSource& source, std::uint32_t id) {
  Names names;
  const MetricsRegistry::Row* const row = source.registry.member(id);
  names.is_known = row != nullptr;
  if (row != nullptr) {
    names.pool = row->pool;
    names.member = row->name;
  }
  return names;
}

Names pool_names(const MetricsSource& source, std::uint32_t id) {
  Names names;
  names.take(names.pool, source.registry.pool(id), id);
  return names;
}

std::string_view class_text(std::uint64_t code_class) {
  constexpr std::array<std::string_view, 6> kTexts{"none", "1xx", "2xx", "3xx", "4xx", "5xx"};
  return kTexts[std::min<std::size_t>(code_class, kTexts.size() - 1)];
}

std::string_view protocol_text(std::uint32_t protocol) {
  if (protocol == MetricsStore::kNoProtocol) return "";
  return http::name_of(static_cast<http::Protocol>(protocol));
}

std::string_view rejection_text(std::size_t index) {
  switch (static_cast<ConnectionRejection>(index)) {
    case ConnectionRejection::limit:
      return "limit";
    case ConnectionRejection::descriptors:
      return "descriptors";
    case ConnectionRejection::shutdown:
      return "shutdown";
  }
  return "";
}

std::string_view reason_text(std::uint64_t index) {
  return base::name_of(static_cast<base::EndReason>(index));
}

// Counters in a fixed array per cell become keys (id, index); zeros are left out.
template <typename Cells, typename Emit>
void emit_array(const SeriesKey& key, const Cells& cells, Emit emit) {
  for (std::size_t i = 0; i < cells.size(); ++i) {
    if (!is_zero(cells[i].value())) emit({key.a, i}, cells[i].value());
  }
}

void render_request_counts(const MetricsSource& source, MetricsText& out) {
  out.family("portunus_http_requests_total", Type::counter, "Finished requests of clients.");
  for (const auto& one : gather<std::uint64_t>(source, [](const MetricsStore& store, auto emit) {
         store.requests.for_each(
             [&](const RequestCell& cell) { emit(cell.key, cell.requests.value()); });
       })) {
    Names names = listener_and_route(source, one.key.a);
    const std::uint32_t pool = high_id(one.key.b);
    names.take(names.pool, source.registry.pool(pool), pool);
    if (!names.is_known) continue;
    const std::uint32_t packed = low_id(one.key.b);
    out.sample({{"listener", names.listener},
                {"route", names.route},
                {"pool", names.pool},
                {"method", http::name_of(static_cast<http::Method>(packed >> 8 & 0xff))},
                {"code", std::to_string(packed >> 16)},
                {"protocol", protocol_text(packed & 0xff)}},
               one.value);
  }
}

template <typename Value, typename Field>
auto of_routes(Field field) {
  return [field](const MetricsStore& store, auto emit) {
    store.routes.for_each([&](const RouteCell& cell) { emit(cell.key, field(cell)); });
  };
}

template <typename Field>
void render_bytes(const MetricsSource& source, Field field, MetricsText& out) {
  for (const auto& one : gather<std::uint64_t>(source, of_routes<std::uint64_t>(field))) {
    const Names names = listener_and_route(source, one.key.a);
    if (names.is_known) {
      out.sample({{"listener", names.listener}, {"route", names.route}}, one.value);
    }
  }
}

template <typename Field>
void render_listener_gauge(const MetricsSource& source, Field field, MetricsText& out) {
  for (const auto& one :
       gather<std::int64_t>(source, [field](const MetricsStore& store, auto emit) {
         store.listeners.for_each([&](const ListenerCell& cell) { field(cell, emit); });
       })) {
    const Names names = listener_and_route(source, one.key.a);
    if (names.is_known) out.sample_signed({{"listener", names.listener}}, one.value);
  }
}

template <typename Value, typename Cells>
auto of_pools(Cells cells) {
  return [cells](const MetricsStore& store, auto emit) {
    store.pools.for_each([&](const PoolCell& cell) { cells(cell, emit); });
  };
}

void render_connections(const MetricsSource& source, MetricsText& out) {
  const auto each = [&source](auto field) {
    return gather<std::int64_t>(source, [field](const MetricsStore& store, auto emit) {
      store.listeners.for_each([&](const ListenerCell& cell) {
        emit(cell.key, static_cast<std::int64_t>(field(cell).value()));
      });
    });
  };
  const auto render = [&source, &out](const std::vector<Summed<std::int64_t>>& sums) {
    for (const auto& one : sums) {
      const Names names = listener_and_route(source, one.key.a);
      if (!names.is_known) continue;
      out.sample_signed({{"listener", names.listener}, {"transport", "tcp"}}, one.value);
    }
  };
  out.family("portunus_connections_active", Type::gauge, "Open connections of clients.");
  render(each([](const ListenerCell& cell) -> auto& { return cell.connections; }));
  out.family("portunus_connections_total", Type::counter, "Connections accepted from clients.");
  render(each([](const ListenerCell& cell) -> auto& { return cell.connections_total; }));
}

}  // namespace

void render_listeners(const MetricsSource& source, MetricsText& out) {
  render_connections(source, out);
  const auto arrays = [&source](auto field) {
    return gather<std::uint64_t>(source, [field](const MetricsStore& store, auto emit) {
      store.listeners.for_each(
          [&](const ListenerCell& cell) { emit_array(cell.key, field(cell), emit); });
    });
  };
  out.family("portunus_connections_rejected_total", Type::counter,
             "Connections that were left waiting in the kernel because a bound was reached.");
  for (const auto& one :
       arrays([](const ListenerCell& cell) -> auto& { return cell.connections_rejected; })) {
    const Names names = listener_and_route(source, one.key.a);
    if (!names.is_known) continue;
    out.sample(
        {{"listener", names.listener}, {"transport", "tcp"}, {"reason", rejection_text(one.key.b)}},
        one.value);
  }
  out.family("portunus_http_requests_in_flight", Type::gauge, "Requests that are being served.");
  render_listener_gauge(
      source, [](const ListenerCell& cell, auto emit) { emit(cell.key, cell.in_flight.value()); },
      out);
  out.family("portunus_http_requests_rejected_total", Type::counter,
             "Requests that were refused instead of passed on.");
  for (const auto& one :
       arrays([](const ListenerCell& cell) -> auto& { return cell.requests_rejected; })) {
    const Names names = listener_and_route(source, one.key.a);
    if (!names.is_known) continue;
    out.sample(
        {{"listener", names.listener}, {"reason", reason_text(one.key.b)}, {"mode", "enforce"}},
        one.value);
  }
}

void render_requests(const MetricsSource& source, MetricsText& out) {
  render_request_counts(source, out);
  out.family("portunus_http_request_duration_seconds", Type::histogram,
             "From a request's complete head to the end of its answer.");
  for (const auto& one : gather<LatencySum>(source, [](const MetricsStore& store, auto emit) {
         store.durations.for_each(
             [&](const DurationCell& cell) { emit(cell.key, sum_of(cell.duration)); });
       })) {
    const Names names = listener_and_route(source, one.key.a);
    if (!names.is_known) continue;
    out.histogram({{"listener", names.listener},
                   {"route", names.route},
                   {"code_class", class_text(one.key.b)}},
                  one.value);
  }
  out.family("portunus_http_response_first_byte_seconds", Type::histogram,
             "From a request's complete head to the first byte of its answer.");
  for (const auto& one : gather<LatencySum>(
           source,
           of_routes<LatencySum>([](const RouteCell& cell) { return sum_of(cell.first_byte); }))) {
    const Names names = listener_and_route(source, one.key.a);
    if (!names.is_known) continue;
    out.histogram({{"listener", names.listener}, {"route", names.route}}, one.value);
  }
  out.family("portunus_http_request_body_bytes_total", Type::counter,
             "Bytes of request bodies, without framing.");
  render_bytes(source, [](const RouteCell& cell) { return cell.bytes_in.value(); }, out);
  out.family("portunus_http_response_body_bytes_total", Type::counter,
             "Bytes of response bodies, without framing.");
  render_bytes(source, [](const RouteCell& cell) { return cell.bytes_out.value(); }, out);
}

namespace {

void render_queues(const MetricsSource& source, MetricsText& out) {
  out.family("portunus_pool_queue_length", Type::gauge,
             "Requests that wait for a connection to the pool.");
  for (const auto& one :
       gather<std::int64_t>(source, of_pools<std::int64_t>([](const PoolCell& cell, auto emit) {
                              emit(cell.key, cell.queued.value());
                            }))) {
    const Names names = pool_names(source, high_id(one.key.a));
    if (names.is_known) out.sample_signed({{"pool", names.pool}}, one.value);
  }
}

void render_upgrades(const MetricsSource& source, MetricsText& out) {
  out.family("portunus_upgraded_connections_active", Type::gauge,
             "Tunnels that are open after an upgrade.");
  for (const auto& one :
       gather<std::int64_t>(source, of_pools<std::int64_t>([](const PoolCell& cell, auto emit) {
                              for (std::size_t i = 0; i < cell.upgraded.size(); ++i) {
                                emit({cell.key.a, i}, cell.upgraded[i].value());
                              }
                            }))) {
    const Names names = pool_names(source, high_id(one.key.a));
    if (!names.is_known) continue;
    const bool is_websocket = one.key.b == static_cast<std::size_t>(UpgradeKind::websocket);
    out.sample_signed({{"pool", names.pool}, {"kind", is_websocket ? "websocket" : "other"}},
                      one.value);
  }
}

void render_retries(const MetricsSource& source, MetricsText& out) {
  out.family("portunus_retries_total", Type::counter,
             "Further tries, by why they were made and how they ended.");
  for (const auto& one :
       gather<std::uint64_t>(source, of_pools<std::uint64_t>([](const PoolCell& cell, auto emit) {
                               for (std::size_t i = 0; i < cell.retries.size(); ++i) {
                                 const SeriesKey key{cell.key.a, i * 2};
                                 for (std::size_t k = 0; k < 2; ++k) {
                                   const std::uint64_t count = cell.retries[i][k].value();
                                   if (count != 0) emit({key.a, key.b + k}, count);
                                 }
                               }
                             }))) {
    const Names names = pool_names(source, high_id(one.key.a));
    if (!names.is_known) continue;
    out.sample({{"pool", names.pool},
                {"reason", reason_text(one.key.b / 2)},
                {"result", one.key.b % 2 == 0 ? "success" : "failure"}},
               one.value);
  }
}

}  // namespace

void render_pools(const MetricsSource& source, MetricsText& out) {
  render_queues(source, out);
  render_upgrades(source, out);
  render_retries(source, out);
}

void render_attempts(const MetricsSource& source, MetricsText& out) {
  out.family("portunus_upstream_requests_total", Type::counter,
             "Tries at upstreams; code 0 is a try without an answer.");
  for (const auto& one : gather<std::uint64_t>(source, [](const MetricsStore& store, auto emit) {
         store.codes.for_each([&](const CodeCell& cell) { emit(cell.key, cell.requests.value()); });
       })) {
    const Names names = member_names(source, high_id(one.key.a));
    if (!names.is_known) continue;
    out.sample(
        {{"pool", names.pool}, {"upstream", names.member}, {"code", std::to_string(one.key.b)}},
        one.value);
  }
  out.family("portunus_upstream_request_duration_seconds", Type::histogram,
             "One try: from the head sent to the end of the answer, or to the failure.");
  for (const auto& one : gather<LatencySum>(source, [](const MetricsStore& store, auto emit) {
         store.members.for_each(
             [&](const MemberCell& cell) { emit(cell.key, sum_of(cell.duration)); });
       })) {
    const Names names = member_names(source, high_id(one.key.a));
    if (!names.is_known || is_zero(one.value)) continue;
    out.histogram({{"pool", names.pool}, {"upstream", names.member}}, one.value);
  }
  out.family("portunus_upstream_errors_total", Type::counter, "Failed tries at upstreams.");
  for (const auto& one : gather<std::uint64_t>(source, [](const MetricsStore& store, auto emit) {
         store.members.for_each(
             [&](const MemberCell& cell) { emit_array(cell.key, cell.errors, emit); });
       })) {
    const Names names = member_names(source, high_id(one.key.a));
    if (!names.is_known) continue;
    out.sample(
        {{"pool", names.pool}, {"upstream", names.member}, {"reason", reason_text(one.key.b)}},
        one.value);
  }
  out.family("portunus_upstream_phase_duration_seconds", Type::histogram,
             "Parts of one try; a part that did not happen is not observed.");
  constexpr std::array<std::string_view, kPhases> kPhaseTexts{"queue", "connect", "first_byte",
                                                              "body"};
  for (const auto& one :
       gather<LatencySum>(source, of_pools<LatencySum>([](const PoolCell& cell, auto emit) {
                            for (std::size_t i = 0; i < kPhases; ++i) {
                              emit({cell.key.a, i}, sum_of(cell.phases[i]));
                            }
                          }))) {
    const Names names = pool_names(source, high_id(one.key.a));
    if (!names.is_known || is_zero(one.value)) continue;
    out.histogram({{"pool", names.pool}, {"phase", kPhaseTexts[one.key.b]}}, one.value);
  }
}

}  // namespace portunus::proxy
