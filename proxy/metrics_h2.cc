// HTTP/2 with clients: what is counted, and its families of /metrics. Requests are counted with all
// others, by their protocol.
#include "proxy/metrics_gather.h"
#include "proxy/metrics_render.h"
#include "proxy/metrics_store.h"

namespace portunus::proxy {
namespace {

using Type = MetricsText::Type;

constexpr std::array<std::string_view, 2> kSenders{"client", "portunus"};

}  // namespace

void MetricsShard::h2_counted(std::uint32_t listener_id, const http::H2Counts& counts) {
  ListenerCell& cell = mine().listeners.find_or_add({std::uint64_t{listener_id} << 32, 0});
  cell.h2_connections.add(counts.connections);
  cell.h2_streams.add(counts.streams);
  cell.h2_resets[0].add(counts.resets_received);
  cell.h2_resets[1].add(counts.resets_sent);
  cell.h2_goaways.add(counts.goaways_sent);
  for (std::size_t i = 0; i < counts.floods_stopped.size(); ++i)
    cell.h2_floods[i].add(counts.floods_stopped[i]);
}

void render_h2(const MetricsSource& source, MetricsText& out) {
  const auto family = [&](const char* name, const char* help, auto field) {
    out.family(name, Type::counter, help);
    for (const auto& one :
         gather<std::uint64_t>(source, [field](const MetricsStore& store, auto emit) {
           store.listeners.for_each([&](const ListenerCell& cell) {
             const std::uint64_t count = field(cell).value();
             if (count > 0) emit(cell.key, count);
           });
         })) {
      const SeriesNames names = listener_and_route(source, one.key.a);
      if (names.is_known) out.sample({{"listener", names.listener}}, one.value);
    }
  };
  const auto family_of = [&](const char* name, const char* help, const char* label, auto value_of,
                             auto field) {
    out.family(name, Type::counter, help);
    for (const auto& one :
         gather<std::uint64_t>(source, [field](const MetricsStore& store, auto emit) {
           store.listeners.for_each(
               [&](const ListenerCell& cell) { emit_array(cell.key, field(cell), emit); });
         })) {
      const SeriesNames names = listener_and_route(source, one.key.a);
      if (names.is_known)
        out.sample({{"listener", names.listener}, {label, value_of(one.key.b)}}, one.value);
    }
  };
  family("portunus_http2_connections_total", "Connections of clients that spoke HTTP/2.",
         [](const ListenerCell& cell) -> auto& { return cell.h2_connections; });
  family("portunus_http2_streams_total", "Streams that clients have opened.",
         [](const ListenerCell& cell) -> auto& { return cell.h2_streams; });
  family("portunus_http2_goaways_total", "GOAWAY frames sent.",
         [](const ListenerCell& cell) -> auto& { return cell.h2_goaways; });
  family_of(
      "portunus_http2_resets_total", "Streams reset, by who did it.", "by",
      [](std::size_t place) { return kSenders[place]; },
      [](const ListenerCell& cell) -> auto& { return cell.h2_resets; });
  family_of(
      "portunus_http2_floods_stopped_total",
      "Connections closed because the client made too much of one kind of work for nothing.",
      "kind", [](std::size_t place) { return http::name_of(static_cast<http::H2Abuse>(place)); },
      [](const ListenerCell& cell) -> auto& { return cell.h2_floods; });
}

}  // namespace portunus::proxy
