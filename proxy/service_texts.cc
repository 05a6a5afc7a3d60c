#include "proxy/service_texts.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "proxy/admin_views.h"
#include "proxy/cli_tables.h"

namespace portunus::proxy {
namespace {

using OrderedJson = nlohmann::ordered_json;
using supervisor::ReplicaView;
using supervisor::ServiceView;

std::uint64_t uptime_us(const ReplicaView& replica, std::uint64_t now_us) {
  return replica.started_us != 0 && now_us > replica.started_us ? now_us - replica.started_us : 0;
}

double seconds_of(std::uint64_t us) {
  return static_cast<double>(us) / 1e6;
}

OrderedJson replica_json(const ReplicaView& replica, std::uint64_t now_us) {
  OrderedJson out;
  out["replica"] = replica.number;
  out["state"] = replica.state;
  if (replica.pid != 0) out["pid"] = replica.pid;
  if (replica.port != 0) out["port"] = replica.port;
  if (replica.started_us != 0) {
    out["started"] = utc_text(replica.started_us);
    out["uptime_s"] = seconds_of(uptime_us(replica, now_us));
  }
  if (!replica.waits_for.empty()) out["waits_for"] = replica.waits_for;
  if (replica.next_start_us != 0) out["next_start"] = utc_text(replica.next_start_us);
  out["restarts"] = replica.restarts;
  if (!replica.last_reason.empty()) out["last_reason"] = replica.last_reason;
  if (replica.memory_bytes != 0) {  // of a process that there is, both are known
    out["memory_bytes"] = replica.memory_bytes;
    out["cpu_s"] = seconds_of(replica.cpu_us);
  }
  return out;
}

// "3d 4h", "2h 5m", "4m 12s", "8s": two figures are enough.
std::string duration_text(std::uint64_t us) {
  const std::uint64_t s = us / 1'000'000;
  if (s >= 86'400) return fmt::format("{}d {}h", s / 86'400, s % 86'400 / 3'600);
  if (s >= 3'600) return fmt::format("{}h {}m", s / 3'600, s % 3'600 / 60);
  if (s >= 60) return fmt::format("{}m {}s", s / 60, s % 60);
  return fmt::format("{}s", s);
}

// "waiting: backoff 12s", "running: turn".
std::string state_text(const ReplicaView& replica, std::uint64_t now_us) {
  std::string text = replica.state;
  if (!replica.waits_for.empty()) text += ": " + replica.waits_for;
  if (replica.next_start_us > now_us) text += ' ' + duration_text(replica.next_start_us - now_us);
  return printable(text, false);
}

std::string number_or_dash(std::uint64_t number) {
  return number == 0 ? "-" : std::to_string(number);
}

}  // namespace

std::string services_json(std::span<const ServiceView> services, std::uint64_t now_us) {
  OrderedJson list = OrderedJson::array();
  for (const ServiceView& service : services) {
    OrderedJson out;
    out["name"] = service.name;
    out["state"] = service.state;
    out["rolling"] = service.is_rolling;
    out["desired"] = service.desired;
    out["replicas_min"] = service.replicas_min;
    out["replicas_max"] = service.replicas_max;
    if (!service.refusal.empty()) out["definition_refused"] = service.refusal;
    if (!service.last_scaling.empty()) out["last_scaling"] = service.last_scaling;
    for (std::size_t i = 0; i < service.restarts.size(); ++i)
      out["restarts"][name_of(static_cast<supervisor::RestartReason>(i))] = service.restarts[i];
    out["replicas"] = OrderedJson::array();
    for (const ReplicaView& replica : service.replicas)
      out["replicas"].push_back(replica_json(replica, now_us));
    list.push_back(std::move(out));
  }
  OrderedJson all;
  all["services"] = std::move(list);
  return all.dump(-1, ' ', false, OrderedJson::error_handler_t::replace) + '\n';
}

std::string services_table(std::span<const ServiceView> services, std::uint64_t now_us) {
  std::vector<std::vector<std::string>> rows = {{"SERVICE", "REPLICA", "PID", "PORT", "STATE",
                                                 "UPTIME", "RESTARTS", "MEMORY", "CPU",
                                                 "LAST REASON"}};
  for (const ServiceView& service : services) {
    const std::string name = printable(service.name, false);
    if (service.replicas.empty()) {
      rows.push_back({name, "-", "-", "-", service.state, "-", "-", "-", "-", "-"});
    }
    for (const ReplicaView& replica : service.replicas) {
      const bool has_usage = replica.memory_bytes != 0;
      const double mib = static_cast<double>(replica.memory_bytes) / (1024.0 * 1024.0);
      const std::string reason = printable(replica.last_reason, false);
      rows.push_back({name, std::to_string(replica.number), number_or_dash(replica.pid),
                      number_or_dash(replica.port), state_text(replica, now_us),
                      replica.started_us == 0 ? "-" : duration_text(uptime_us(replica, now_us)),
                      std::to_string(replica.restarts),
                      has_usage ? fmt::format("{:.1f} MiB", mib) : "-",
                      has_usage ? fmt::format("{:.2f} s", seconds_of(replica.cpu_us)) : "-",
                      reason.empty() ? "-" : reason});
    }
  }
  std::string text = align(rows);
  for (const ServiceView& service : services) {
    if (service.refusal.empty()) continue;
    text += fmt::format("{}: runs as it was before, because its new definition does not work: {}\n",
                        printable(service.name, false), printable(service.refusal, false));
  }
  for (const ServiceView& service : services) {
    if (service.last_scaling.empty()) continue;
    text += fmt::format("{}: {} of {} to {} replicas; last scaled {}\n",
                        printable(service.name, false), service.desired, service.replicas_min,
                        service.replicas_max, printable(service.last_scaling, false));
  }
  return text;
}

}  // namespace portunus::proxy
