#include "proxy/admin_views.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>

#include <fmt/format.h>

#include "base/json_writer.h"
#include "base/version.h"
#include "http/status.h"
#include "proxy/discovery_view.h"

namespace portunus::proxy {
namespace {

using base::JsonWriter;

// Runs `write` with a larger buffer until its text fits.
template <typename Write>
std::string render(std::size_t guess, Write write) {
  std::string out;
  for (std::size_t size = guess;; size *= 2) {
    out.resize(size);
    JsonWriter json(out.data(), out.size());
    write(json);
    if (json.is_full()) continue;
    out.resize(json.size());
    out += '\n';
    return out;
  }
}

void flag(JsonWriter& json, std::string_view name, bool value) {
  json.key(name);
  json.boolean(value);
}

void time_if_known(JsonWriter& json, std::string_view name, std::uint64_t wall_us) {
  if (wall_us != 0) json.text(name, utc_text(wall_us));
}

void text_if_any(JsonWriter& json, std::string_view name, std::string_view value) {
  if (!value.empty()) json.text(name, value);
}

void seconds(JsonWriter& json, std::string_view name, double value) {
  constexpr double kLongest = 1e9;  // a bound for the conversion; no number is meant either
  const double bounded = value > 0 ? std::min(value, kLongest) : 0;
  json.seconds(name, static_cast<std::uint64_t>(bounded * 1e9));
}

void write_probe(JsonWriter& json, const MemberView& member) {
  json.open_object();
  json.text("kind", member.probe_kind);
  if (member.probe_at_us != 0) {
    time_if_known(json, "at", member.probe_at_us);
    flag(json, "ok", member.probe_ok);
    if (member.probe_status != 0) json.number("status", member.probe_status);
    seconds(json, "duration_s", member.probe_duration_s);
    text_if_any(json, "detail", member.probe_detail);
  }
  json.number("successes", member.successes);
  json.number("failures", member.failures);
  json.number("good_total", member.probes_good);
  json.number("bad_total", member.probes_bad);
  json.close_object();
}

void write_traffic(JsonWriter& json, const MemberView& member) {
  json.open_object();
  json.number("failures_in_row", member.failures_in_row);
  json.number("ejections", member.ejections);
  text_if_any(json, "breaker", member.breaker);
  if (!member.breaker.empty()) json.number("breaker_trips", member.breaker_trips);
  json.close_object();
}

void write_fields(JsonWriter& json, const MemberView& member) {
  json.text("upstream", member.name);
  json.text("address", member.address);
  json.text("state", member.state);
  time_if_known(json, "since", member.since_us);
  text_if_any(json, "reason", member.reason);
  json.text("source", member.source);
  text_if_any(json, "discovery", member.discovered);
  text_if_any(json, "discovery_reason", member.discovered_reason);
  flag(json, "selectable", member.is_selectable);
  json.text("admin", member.admin);
  json.number("weight", member.weight);
  json.number("configured_weight", member.configured_weight);
  seconds(json, "effective_weight", member.effective_weight);  // a number with six places
  flag(json, "backup", member.is_backup);
  json.number("in_flight", member.in_flight);
  json.number("connections", member.connections);
  json.key("probe");
  write_probe(json, member);
  json.key("traffic");
  write_traffic(json, member);
}

void write_member(JsonWriter& json, const MemberView& member) {
  json.open_object();
  write_fields(json, member);
  json.close_object();
}

void write_concurrency(JsonWriter& json, const ConcurrencyView& view) {
  json.open_object();
  json.number("limit", view.limit);
  json.number("in_flight", view.in_flight);
  if (view.latency_ns != 0) {
    seconds(json, "latency_s", static_cast<double>(view.latency_ns) / 1e9);
    seconds(json, "latency_alone_s", static_cast<double>(view.alone_ns) / 1e9);
  }
  flag(json, "throttling", view.is_throttling);
  json.close_object();
}

void write_pool(JsonWriter& json, const PoolView& pool) {
  json.open_object();
  json.text("name", pool.name);
  json.text("balance", pool.balance);
  json.text("when_unhealthy", pool.when_unhealthy);
  flag(json, "panic", pool.is_panicking);
  json.number("selectable", static_cast<std::uint64_t>(std::ranges::count_if(
                                pool.members, [](const auto& m) { return m.is_selectable; })));
  if (pool.concurrency) {
    json.key("concurrency");
    write_concurrency(json, *pool.concurrency);
  }
  if (pool.discovery) {
    json.key("discovery");
    write_discovery(json, *pool.discovery);
  }
  json.key("members");
  json.open_array();
  for (const MemberView& member : pool.members)
    write_member(json, member);
  json.close_array();
  json.close_object();
}

void write_config(JsonWriter& json, const StatusView& status) {
  json.open_object();
  json.text("file", status.config_file);
  text_if_any(json, "hash", status.config_hash);
  json.number("generation", status.generation);
  json.number("generations_alive", status.generations_alive);
  time_if_known(json, "loaded", status.loaded_us);
  json.text("source", status.runs_on_copy ? "last_good" : "files");
  flag(json, "last_reload_ok", status.last_reload_ok);
  text_if_any(json, "last_reload_error", status.last_reload_error);
  json.number("reloads_ok", status.reloads_ok);
  json.number("reloads_failed", status.reloads_failed);
  json.close_object();
}

constexpr std::size_t kMemberGuess = 768;  // bytes of JSON

}  // namespace

std::string utc_text(std::uint64_t wall_us) {
  const std::chrono::sys_time<std::chrono::microseconds> time{
      std::chrono::microseconds(static_cast<std::int64_t>(wall_us))};
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(time - day);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                     clock.hours().count(), clock.minutes().count(), clock.seconds().count(),
                     clock.subseconds().count());
}

std::string status_json(const StatusView& status,
                        std::string_view not_ready,
                        std::uint64_t now_us) {
  return render(4096, [&](JsonWriter& json) {
    json.open_object();
    json.text("state", status.state);
    flag(json, "ready", not_ready.empty());
    text_if_any(json, "reason", not_ready);
    json.text("version", base::kVersion);
    json.text("revision", base::kRevision);
    json.number("pid", static_cast<std::uint64_t>(::getpid()));
    time_if_known(json, "started", status.started_us);
    if (status.started_us != 0 && now_us >= status.started_us) {
      json.seconds("uptime_s", (now_us - status.started_us) * 1000);
    }
    json.key("config");
    write_config(json, status);
    json.number("threads", status.threads);
    json.number("connections", status.connections);
    json.number("sites", status.sites);
    json.number("routes", status.routes);
    json.key("listeners");
    json.open_array();
    for (const ListenerView& listener : status.listeners) {
      json.open_object();
      json.text("name", listener.name);
      json.text("address", listener.address);
      json.close_object();
    }
    json.close_array();
    json.close_object();
  });
}

std::string pools_json(const std::vector<PoolView>& pools) {
  std::size_t guess = 1024;
  for (const PoolView& pool : pools)
    guess += kMemberGuess * (pool.members.size() + 1);
  return render(guess, [&](JsonWriter& json) {
    json.open_object();
    json.key("pools");
    json.open_array();
    for (const PoolView& pool : pools)
      write_pool(json, pool);
    json.close_array();
    json.close_object();
  });
}

std::string pool_json(const PoolView& pool) {
  return render(1024 + kMemberGuess * pool.members.size(),
                [&](JsonWriter& json) { write_pool(json, pool); });
}

std::string member_json(const std::string& pool,
                        const MemberView& member,
                        std::optional<bool> is_drained) {
  return render(2 * kMemberGuess, [&](JsonWriter& json) {
    json.open_object();
    json.text("pool", pool);
    write_fields(json, member);
    if (is_drained) flag(json, "drained", *is_drained);
    json.close_object();
  });
}

std::string reload_json(const ReloadOutcome& outcome) {
  const std::size_t guess = 1024 + 2 * (outcome.text.size() + outcome.diagnostics.size());
  return render(guess, [&](JsonWriter& json) {
    json.open_object();
    flag(json, "ok", outcome.ok);
    if (!outcome.ok) json.text("error", outcome.error);
    json.number("generation", outcome.generation);
    seconds(json, "duration_s", outcome.duration_s);
    text_if_any(json, "file", outcome.file);
    text_if_any(json, "text", outcome.text);
    json.key("diagnostics");
    std::string_view array = outcome.diagnostics;
    while (array.ends_with('\n'))
      array.remove_suffix(1);
    json.raw(array.empty() ? "[]" : array);
    json.close_object();
  });
}

std::string error_json(std::uint16_t status, std::string_view message) {
  return render(512, [&](JsonWriter& json) {
    json.open_object();
    json.number("status", status);
    json.text("error", http::reason_phrase(status));
    json.text("message", message);
    json.close_object();
  });
}

std::string_view index_text() {
  return "Portunus, admin interface\n"
         "\n"
         "GET  /livez             200 while the process runs (also /healthz, /health, /ping)\n"
         "GET  /readyz            200 when traffic is served, 503 with the reason while starting "
         "or draining\n"
         "GET  /metrics           all metrics, in Prometheus' text format\n"
         "GET  /v1/status         version, configuration, listeners\n"
         "GET  /v1/pools          every pool and member: state, since when, why, last probe\n"
         "GET  /v1/pools/{pool}   one pool\n"
         "GET  /v1/pools/{pool}/upstreams/{host:port}                one member\n"
         "POST /v1/pools/{pool}/upstreams/{host:port}/drain          no new requests; ?wait=30s "
         "answers when none is left\n"
         "POST /v1/pools/{pool}/upstreams/{host:port}/disable        the same, and no probes\n"
         "POST /v1/pools/{pool}/upstreams/{host:port}/enable         the end of both\n"
         "PUT  /v1/pools/{pool}/upstreams/{host:port}/weight         {\"weight\":5}; null: as "
         "configured\n"
         "GET  /v1/services       every service and its replicas: process, port, state, restarts\n"
         "POST /v1/services/{name}/{start|stop|restart|scale|roll}\n"
         "                        orders to a service; scale takes {\"replicas\": N}\n"
         "GET  /v1/certificates   every certificate: names, issuer, when it ends, where it is "
         "from\n"
         "POST /v1/routes/explain what becomes of a request: {\"url\":\"https://host/path\"}; also "
         "method,\n"
         "                        headers (a list), client, listener\n"
         "POST /v1/config/reload  reads the configuration file again and answers with the "
         "outcome\n";
}

}  // namespace portunus::proxy
