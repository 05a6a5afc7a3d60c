// The families of services, as the supervisor has told.
#include <algorithm>

#include "proxy/metrics_render.h"

namespace portunus::proxy {
namespace {

using Type = MetricsText::Type;
using supervisor::ReplicaState;
using supervisor::ReplicaView;
using supervisor::ServiceView;

std::uint64_t count_ready(const ServiceView& service) {
  return static_cast<std::uint64_t>(std::ranges::count(
      service.replicas, std::string_view(name_of(ReplicaState::running)), &ReplicaView::state));
}

std::uint64_t count_running(const ServiceView& service) {
  return static_cast<std::uint64_t>(std::ranges::count_if(
      service.replicas, [](const auto& replica) { return replica.pid != 0; }));
}

}  // namespace

void render_services(const MetricsInputs& inputs, MetricsText& out) {
  out.family("portunus_supervisor_services", Type::gauge,
             "1 for the state that the service is in.");
  for (const ServiceView& service : inputs.services) {
    for (const std::string_view state : supervisor::kServiceStates)
      out.sample({{"service", service.name}, {"state", state}}, service.state == state ? 1 : 0);
  }
  out.family("portunus_supervisor_replicas", Type::gauge,
             "Replicas of the service: wanted, with a process, and good for traffic.");
  for (const ServiceView& service : inputs.services) {
    const auto sample = [&](std::string_view kind, std::uint64_t count) {
      out.sample({{"service", service.name}, {"kind", kind}}, count);
    };
    sample("desired", service.desired);
    sample("running", count_running(service));
    sample("ready", count_ready(service));
  }
  out.family("portunus_supervisor_definition_refused", Type::gauge,
             "1 when the service runs as it was before, because its new definition does not work.");
  for (const ServiceView& service : inputs.services)
    out.sample({{"service", service.name}}, service.refusal.empty() ? 0 : 1);
  out.family("portunus_supervisor_restarts_total", Type::counter,
             "Processes of the service that took the place of another, by the reason.");
  for (const ServiceView& service : inputs.services) {
    for (std::size_t i = 0; i < service.restarts.size(); ++i) {
      const auto reason = static_cast<supervisor::RestartReason>(i);
      out.sample({{"service", service.name}, {"reason", name_of(reason)}}, service.restarts[i]);
    }
  }
  out.family(
      "portunus_supervisor_scalings_total", Type::counter,
      "Decisions about the number of replicas because of the load; mode dry_run: only said.");
  for (const ServiceView& service : inputs.services) {
    if (!service.is_scaling) continue;
    const auto sample = [&](std::string_view direction, std::string_view mode,
                            std::uint64_t count) {
      out.sample({{"service", service.name}, {"direction", direction}, {"mode", mode}}, count);
    };
    sample("up", "enforce", service.scalings.up);
    sample("down", "enforce", service.scalings.down);
    sample("up", "dry_run", service.scalings.dry_up);
    sample("down", "dry_run", service.scalings.dry_down);
  }
  out.family("portunus_supervisor_service_start_timestamp_seconds", Type::gauge,
             "When the newest process of the service was started, Unix time.");
  for (const ServiceView& service : inputs.services) {
    const auto newest = std::ranges::max_element(service.replicas, {}, &ReplicaView::started_us);
    if (newest == service.replicas.end() || newest->started_us == 0) continue;
    out.sample_real({{"service", service.name}}, static_cast<double>(newest->started_us) / 1e6);
  }
}

}  // namespace portunus::proxy
