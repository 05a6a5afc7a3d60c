#include "proxy/discovery_view.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "proxy/admin_views.h"

namespace portunus::proxy {
namespace {

using discovery::KeptReason;
using discovery::ServiceStatus;

void time_if_known(base::JsonWriter& json, std::string_view name, std::uint64_t wall_us) {
  if (wall_us != 0) json.text(name, utc_text(wall_us));
}

std::uint64_t usable(const ServiceStatus& status) {
  return static_cast<std::uint64_t>(std::ranges::count_if(
      *status.instances,
      [](const discovery::Instance& each) { return each.is_usable && !each.is_draining; }));
}

}  // namespace

void write_discovery(base::JsonWriter& json, const ServiceStatus& status) {
  json.open_object();
  json.text("provider", "consul");
  json.text("service", status.key);
  json.text("source", discovery::name_of(status.source));
  json.number("instances", status.instances->size());
  json.number("usable", usable(status));
  time_if_known(json, "last_success", status.last_success_us);
  if (status.last_success_us != 0) json.seconds("age_s", status.age_ms * 1'000'000);
  json.key("kept");
  json.boolean(status.kept != KeptReason::none);
  if (status.kept != KeptReason::none) {
    json.text("kept_reason", discovery::name_of(status.kept));
    time_if_known(json, "kept_since", status.kept_since_us);
    if (!status.kept_detail.empty()) json.text("kept_detail", status.kept_detail);
  }
  if (!status.last_error.empty()) {
    json.text("last_error", status.last_error);
    time_if_known(json, "last_error_at", status.last_error_us);
  }
  if (!status.agent.empty()) json.text("agent", status.agent);
  json.number("index", status.index);
  if (status.left_out != 0) {
    json.number("left_out", status.left_out);
    json.text("left_out_reason", status.left_out_reason);
  }
  json.close_object();
}

void render_discovery(const std::vector<ServiceStatus>& services, MetricsText& out) {
  if (services.empty()) return;
  out.family("portunus_discovery_updates_total", MetricsText::Type::counter,
             "Answers of discovery about a service, by what became of them.");
  for (const ServiceStatus& each : services) {
    const std::array<std::pair<std::string_view, std::uint64_t>, 4> results{
        {{"changed", each.updates.changed},
         {"unchanged", each.updates.unchanged},
         {"kept", each.updates.kept},
         {"error", each.updates.error}}};
    for (const auto& [result, count] : results)
      out.sample({{"provider", "consul"}, {"service", each.key}, {"result", result}}, count);
  }
  out.family("portunus_discovery_last_success_timestamp_seconds", MetricsText::Type::gauge,
             "When discovery last answered well about a service, changed or not.");
  for (const ServiceStatus& each : services) {
    if (each.last_success_us == 0) continue;
    out.sample_real({{"provider", "consul"}, {"service", each.key}},
                    static_cast<double>(each.last_success_us) / 1e6);
  }
  out.family("portunus_discovery_endpoints", MetricsText::Type::gauge,
             "Instances of a service that discovery lets be used.");
  for (const ServiceStatus& each : services)
    out.sample({{"provider", "consul"}, {"service", each.key}}, usable(each));
  out.family(
      "portunus_discovery_guard_active", MetricsText::Type::gauge,
      "Whether the last good list of a service is kept against what discovery says or does not "
      "say, and why.");
  for (const ServiceStatus& each : services) {
    for (std::size_t i = 1; i < discovery::kKeptReasonCount; ++i) {
      const auto reason = static_cast<KeptReason>(i);
      out.sample(
          {{"provider", "consul"}, {"service", each.key}, {"reason", discovery::name_of(reason)}},
          each.kept == reason ? std::uint64_t{1} : std::uint64_t{0});
    }
  }
}

}  // namespace portunus::proxy
