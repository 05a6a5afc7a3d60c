// TLS with clients: what is counted, and its families of /metrics.
#include <algorithm>

#include "proxy/metrics_gather.h"
#include "proxy/metrics_render.h"
#include "proxy/metrics_store.h"

namespace portunus::proxy {
namespace {

using Type = MetricsText::Type;

struct Agreed {
  std::string_view version;
  std::string_view resumed;
};
constexpr std::array<Agreed, 4> kAgreed{
    {{"1.2", "false"}, {"1.2", "true"}, {"1.3", "false"}, {"1.3", "true"}}};

constexpr std::array<std::string_view, kHandshakeCount> kResults{"ok",
                                                                 "closed",
                                                                 "timeout",
                                                                 "version",
                                                                 "cipher",
                                                                 "server_name",
                                                                 "plain_http",
                                                                 "certificate",
                                                                 "client_certificate",
                                                                 "client_revoked",
                                                                 "client_crl",
                                                                 "other"};

// What TlsSession and ServerConnection say, word for word, or a part of OpenSSL's words.
struct Word {
  std::string_view part;
  Handshake result;
};
constexpr Word kWords[] = {
    {"closed", Handshake::closed},
    {"too slow", Handshake::timeout},
    {"unsupported protocol", Handshake::version},
    {"version too low", Handshake::version},
    {"wrong version number", Handshake::version},
    {"no shared cipher", Handshake::cipher},
    {"no suitable signature algorithm", Handshake::cipher},
    {"no suitable key share", Handshake::cipher},
    {"no application protocol", Handshake::cipher},
    {"callback failed", Handshake::server_name},
    {"clienthello tlsext", Handshake::server_name},
    {"http request", Handshake::plain_http},
    {"https proxy request", Handshake::plain_http},
    {"client's certificate is revoked", Handshake::client_revoked},
    {"(CRL)", Handshake::client_crl},
    {"peer did not return a certificate", Handshake::client_certificate},
    {"certificate verify failed", Handshake::client_certificate},
    {"excessive message size", Handshake::client_certificate},
    {"certificate", Handshake::certificate},
    {"unknown ca", Handshake::certificate},
};

}  // namespace

Handshake handshake_of(std::string_view failure) {
  if (failure.empty()) return Handshake::ok;
  const auto* const found = std::ranges::find_if(
      kWords, [&](const Word& word) { return failure.find(word.part) != std::string_view::npos; });
  return found == std::end(kWords) ? Handshake::other : found->result;
}

void MetricsShard::handshake_ended(std::uint32_t listener_id, const HandshakeRecord& handshake) {
  ListenerCell& cell = mine().listeners.find_or_add({pack_ids(listener_id, 0), 0});
  SiteCell& site = mine().sites.find_or_add({pack_ids(handshake.site_id, 0), 0});
  if (handshake.result != Handshake::ok) {
    cell.handshakes_failed[static_cast<std::size_t>(handshake.result)].add();
    site.handshakes_failed[static_cast<std::size_t>(handshake.result)].add();
    return;
  }
  const std::size_t resumed = handshake.is_resumed ? 1U : 0U;
  const std::size_t place = (handshake.version == "TLSv1.3" ? 2U : 0U) + resumed;
  cell.handshakes[place].add();
  cell.handshake_durations[place].observe(handshake.duration_ns);
  site.handshakes[resumed].add();
}

void render_site_handshakes(const MetricsSource& source, MetricsText& out) {
  struct Of {
    std::string_view site;
    bool is_known;
  };
  const auto site_of = [&source](const SeriesKey& key) -> Of {
    const std::uint32_t id = high_id(key.a);
    if (id == 0) return {"_OTHER", true};
    const MetricsRegistry::Row* const row = source.registry.site(id);
    return row == nullptr ? Of{{}, false} : Of{row->name, true};
  };
  const auto arrays = [&source](auto field) {
    return gather<std::uint64_t>(source, [field](const MetricsStore& store, auto emit) {
      store.sites.for_each([&](const SiteCell& cell) { emit_array(cell.key, field(cell), emit); });
    });
  };
  out.family("portunus_tls_site_handshakes_total", Type::counter,
             "TLS handshakes of clients by the site that they name; _OTHER: no host, or nobody's.");
  for (const auto& one : arrays([](const SiteCell& cell) -> auto& { return cell.handshakes; })) {
    if (const Of of = site_of(one.key); of.is_known) {
      out.sample(
          {{"site", of.site}, {"resumed", one.key.b == 0 ? "false" : "true"}, {"result", "ok"}},
          one.value);
    }
  }
  for (const auto& one :
       arrays([](const SiteCell& cell) -> auto& { return cell.handshakes_failed; })) {
    if (const Of of = site_of(one.key); of.is_known) {
      out.sample({{"site", of.site}, {"resumed", "false"}, {"result", kResults[one.key.b]}},
                 one.value);
    }
  }
}

void render_handshakes(const MetricsSource& source, MetricsText& out) {
  const auto arrays = [&source](auto field) {
    return gather<std::uint64_t>(source, [field](const MetricsStore& store, auto emit) {
      store.listeners.for_each(
          [&](const ListenerCell& cell) { emit_array(cell.key, field(cell), emit); });
    });
  };
  out.family("portunus_tls_handshakes_total", Type::counter, "TLS handshakes of clients.");
  for (const auto& one :
       arrays([](const ListenerCell& cell) -> auto& { return cell.handshakes; })) {
    const SeriesNames names = listener_and_route(source, one.key.a);
    if (!names.is_known) continue;
    out.sample({{"listener", names.listener},
                {"version", kAgreed[one.key.b].version},
                {"resumed", kAgreed[one.key.b].resumed},
                {"result", "ok"}},
               one.value);
  }
  for (const auto& one :
       arrays([](const ListenerCell& cell) -> auto& { return cell.handshakes_failed; })) {
    const SeriesNames names = listener_and_route(source, one.key.a);
    if (!names.is_known) continue;
    out.sample({{"listener", names.listener},
                {"version", "none"},
                {"resumed", "false"},
                {"result", kResults[one.key.b]}},
               one.value);
  }
  out.family("portunus_tls_handshake_duration_seconds", Type::histogram,
             "From a connection's acceptance to the end of its TLS handshake, if that went well.");
  for (const auto& one : gather<base::LatencySum>(source, [](const MetricsStore& store, auto emit) {
         store.listeners.for_each([&](const ListenerCell& cell) {
           for (std::size_t i = 0; i < cell.handshake_durations.size(); ++i) {
             const base::LatencySum sum = sum_of(cell.handshake_durations[i]);
             if (!is_zero(sum)) emit({cell.key.a, i}, sum);
           }
         });
       })) {
    const SeriesNames names = listener_and_route(source, one.key.a);
    if (!names.is_known) continue;
    out.histogram({{"listener", names.listener},
                   {"version", kAgreed[one.key.b].version},
                   {"resumed", kAgreed[one.key.b].resumed},
                   {"result", "ok"}},
                  one.value);
  }
}

}  // namespace portunus::proxy
