// The families of upstreams: pools, and the attempts at their members. As in metrics_render.cc every
// family gathers its own sums.
#include <array>
#include <string>

#include "proxy/metrics_gather.h"
#include "proxy/metrics_render.h"
#include "proxy/metrics_store.h"

namespace portunus::proxy {
namespace {

using Type = MetricsText::Type;
using base::LatencySum;

template <typename Value, typename Cells>
auto of_pools(Cells cells) {
  return [cells](const MetricsStore& store, auto emit) {
    store.pools.for_each([&](const PoolCell& cell) { cells(cell, emit); });
  };
}

void render_queues(const MetricsSource& source, MetricsText& out) {
  out.family("portunus_pool_queue_length", Type::gauge,
             "Requests that wait in the pool: for a connection, or for a member that is up.");
  for (const auto& one :
       gather<std::int64_t>(source, of_pools<std::int64_t>([](const PoolCell& cell, auto emit) {
                              emit(cell.key, cell.queued.value());
                            }))) {
    const SeriesNames names = pool_names(source, high_id(one.key.a));
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
    const SeriesNames names = pool_names(source, high_id(one.key.a));
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
    const SeriesNames names = pool_names(source, high_id(one.key.a));
    if (!names.is_known) continue;
    out.sample({{"pool", names.pool},
                {"reason", reason_text(one.key.b / 2)},
                {"result", one.key.b % 2 == 0 ? "success" : "failure"}},
               one.value);
  }
}

constexpr std::array<const char*, kRetryDenialCount> kDenials{"budget",  "method", "body",
                                                              "started", "time",   "attempts"};

void render_denials(const MetricsSource& source, MetricsText& out) {
  out.family("portunus_retries_denied_total", Type::counter,
             "Failures that were not tried again although their kind is, by what forbade it.");
  for (const auto& one :
       gather<std::uint64_t>(source, of_pools<std::uint64_t>([](const PoolCell& cell, auto emit) {
                               for (std::size_t i = 0; i < cell.denials.size(); ++i) {
                                 const std::uint64_t count = cell.denials[i].value();
                                 if (count != 0) emit({cell.key.a, i}, count);
                               }
                             }))) {
    const SeriesNames names = pool_names(source, high_id(one.key.a));
    if (!names.is_known) continue;
    out.sample({{"pool", names.pool}, {"reason", kDenials[one.key.b]}}, one.value);
  }
}

void render_sticky(const MetricsSource& source, MetricsText& out) {
  out.family(
      "portunus_sticky_requests_total", Type::counter,
      "Requests of sticky pools: by the member that their cookie names (hit), without a good "
      "cookie (miss), not by the one that it names (lost).");
  for (const auto& one :
       gather<std::uint64_t>(source, of_pools<std::uint64_t>([](const PoolCell& cell, auto emit) {
                               emit_array(cell.key, cell.sticky, emit);
                             }))) {
    const SeriesNames names = pool_names(source, high_id(one.key.a));
    if (!names.is_known) continue;
    const auto result = static_cast<StickyResult>(one.key.b);
    out.sample({{"pool", names.pool}, {"result", name_of(result)}}, one.value);
  }
}

void render_forward_auth(const MetricsSource& source, MetricsText& out) {
  out.family("portunus_forward_auth_total", Type::counter,
             "Requests that a service of the pool was asked about (forward_auth): it let them pass "
             "(allowed), gave another answer (denied), or none (failed).");
  for (const auto& one :
       gather<std::uint64_t>(source, of_pools<std::uint64_t>([](const PoolCell& cell, auto emit) {
                               emit_array(cell.key, cell.auth, emit);
                             }))) {
    const SeriesNames names = pool_names(source, high_id(one.key.a));
    if (!names.is_known) continue;
    const auto result = static_cast<AuthResult>(one.key.b);
    out.sample({{"pool", names.pool}, {"result", name_of(result)}}, one.value);
  }
}

}  // namespace

void render_pools(const MetricsSource& source, MetricsText& out) {
  render_queues(source, out);
  render_upgrades(source, out);
  render_retries(source, out);
  render_denials(source, out);
  render_sticky(source, out);
  render_forward_auth(source, out);
}

void render_attempts(const MetricsSource& source, MetricsText& out) {
  out.family("portunus_upstream_requests_total", Type::counter,
             "Tries at upstreams; code 0 is a try without an answer.");
  for (const auto& one : gather<std::uint64_t>(source, [](const MetricsStore& store, auto emit) {
         store.codes.for_each([&](const CodeCell& cell) { emit(cell.key, cell.requests.value()); });
       })) {
    const SeriesNames names = member_names(source, high_id(one.key.a));
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
    const SeriesNames names = member_names(source, high_id(one.key.a));
    if (!names.is_known || is_zero(one.value)) continue;
    out.histogram({{"pool", names.pool}, {"upstream", names.member}}, one.value);
  }
  out.family("portunus_upstream_errors_total", Type::counter, "Failed tries at upstreams.");
  for (const auto& one : gather<std::uint64_t>(source, [](const MetricsStore& store, auto emit) {
         store.members.for_each(
             [&](const MemberCell& cell) { emit_array(cell.key, cell.errors, emit); });
       })) {
    const SeriesNames names = member_names(source, high_id(one.key.a));
    if (!names.is_known) continue;
    out.sample(
        {{"pool", names.pool}, {"upstream", names.member}, {"reason", reason_text(one.key.b)}},
        one.value);
  }
  out.family("portunus_upstream_phase_duration_seconds", Type::histogram,
             "Parts of one try; a part that did not happen is not observed.");
  constexpr std::array<std::string_view, kPhases> kPhaseTexts{"queue", "connect", "tls",
                                                              "first_byte", "body"};
  for (const auto& one :
       gather<LatencySum>(source, of_pools<LatencySum>([](const PoolCell& cell, auto emit) {
                            for (std::size_t i = 0; i < kPhases; ++i) {
                              emit({cell.key.a, i}, sum_of(cell.phases[i]));
                            }
                          }))) {
    const SeriesNames names = pool_names(source, high_id(one.key.a));
    if (!names.is_known || is_zero(one.value)) continue;
    out.histogram({{"pool", names.pool}, {"phase", kPhaseTexts[one.key.b]}}, one.value);
  }
}

}  // namespace portunus::proxy
