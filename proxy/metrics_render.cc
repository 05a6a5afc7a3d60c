// The families of clients: connections, requests and their answers. Every family gathers its own
// sums, so that its samples stand together as the text format demands. Upstreams are in
// metrics_upstreams.cc, the rest in metrics_state.cc.
#include "proxy/metrics_render.h"

#include <algorithm>
#include <array>
#include <string>

#include "http/message.h"
#include "proxy/metrics_gather.h"
#include "proxy/metrics_store.h"

namespace portunus::proxy {
namespace {

using Type = MetricsText::Type;
using base::LatencySum;

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
    case ConnectionRejection::proxy_header:
      return "proxy_header";
    case ConnectionRejection::proxy_header_timeout:
      return "proxy_header_timeout";
    case ConnectionRejection::client_limit:
      return "client_limit";
    case ConnectionRejection::overload:
      return "overload";
  }
  return "";
}

void render_request_counts(const MetricsSource& source, MetricsText& out) {
  out.family("portunus_http_requests_total", Type::counter, "Finished requests of clients.");
  for (const auto& one : gather<std::uint64_t>(source, [](const MetricsStore& store, auto emit) {
         store.requests.for_each(
             [&](const RequestCell& cell) { emit(cell.key, cell.requests.value()); });
       })) {
    SeriesNames names = listener_and_route(source, one.key.a);
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
    const SeriesNames names = listener_and_route(source, one.key.a);
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
    const SeriesNames names = listener_and_route(source, one.key.a);
    if (names.is_known) out.sample_signed({{"listener", names.listener}}, one.value);
  }
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
      const SeriesNames names = listener_and_route(source, one.key.a);
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
             "Connections that were left waiting in the kernel because a bound was reached, or "
             "closed because a trusted proxy did not say whose they are.");
  for (const auto& one :
       arrays([](const ListenerCell& cell) -> auto& { return cell.connections_rejected; })) {
    const SeriesNames names = listener_and_route(source, one.key.a);
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
             "Requests that were refused instead of passed on, or would have been.");
  for (const auto& one :
       arrays([](const ListenerCell& cell) -> auto& { return cell.requests_rejected; })) {
    const SeriesNames names = listener_and_route(source, one.key.a);
    if (!names.is_known) continue;
    out.sample(
        {{"listener", names.listener}, {"reason", reason_text(one.key.b)}, {"mode", "enforce"}},
        one.value);
  }
  for (const auto& one : gather<std::uint64_t>(source, [](const MetricsStore& store, auto emit) {
         store.listeners.for_each([&](const ListenerCell& cell) {
           if (!is_zero(cell.requests_reported.value()))
             emit(cell.key, cell.requests_reported.value());
         });
       })) {
    const SeriesNames names = listener_and_route(source, one.key.a);
    if (!names.is_known) continue;
    out.sample({{"listener", names.listener},
                {"reason", base::name_of(base::EndReason::rate_limited)},
                {"mode", "report"}},
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
    const SeriesNames names = listener_and_route(source, one.key.a);
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
    const SeriesNames names = listener_and_route(source, one.key.a);
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

}  // namespace portunus::proxy
