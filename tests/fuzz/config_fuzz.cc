// Any bytes as a configuration: no crash, no file touched, and what load_text() promises about its
// result.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <variant>

#include "conf/load.h"

using portunus::conf::LoadResult;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

void check_service(const portunus::conf::Service& service, const portunus::conf::Model& model) {
  require(!service.name.empty() && !service.command.empty() && !service.command.front().empty());
  require(service.replicas_max > 0 && service.replicas_min <= service.replicas_max);
  require(service.restart.backoff_min <= service.restart.backoff_max);
  const bool has_ports = service.ports.size() > 0;
  require(!has_ports || service.ports.size() >= service.replicas_max);
  require(has_ports || service.health.kind == portunus::conf::ProbeKind::off);
  if (!service.pool) return;
  require(has_ports && *service.pool < model.pools.size() && model.pools[*service.pool].is_dynamic);
}

void check_model(const portunus::conf::Model& model) {
  require(!model.sites.empty() || !model.services.empty());
  for (const auto& pool : model.pools)
    require(!pool.name.empty() && (pool.is_dynamic || !pool.upstreams.empty()));
  for (const auto& service : model.services)
    check_service(service, model);
  for (const auto& site : model.sites) {
    require(!site.hosts.empty() && !site.listeners.empty() && !site.routes.empty());
    for (const std::size_t listener : site.listeners)
      require(listener < model.listeners.size());
    for (const auto& route : site.routes) {
      require(!route.name.empty());
      const auto* forward = std::get_if<portunus::conf::Forward>(&route.action);
      if (forward == nullptr) continue;
      require(!forward->shares.empty());
      for (const auto& share : forward->shares)
        require(share.pool < model.pools.size());
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const LoadResult result = portunus::conf::load_text(text, "fuzz.yaml");
  require((result.model == nullptr) == has_errors(result.diagnostics));
  require(result.files.size() == 1);
  for (const auto& d : result.diagnostics)
    require(d.caret <= d.source_line.size());
  require(format_text(result.diagnostics).find('\0') == std::string::npos);
  require(!format_json(result.diagnostics).empty());
  if (result.model) check_model(*result.model);
  return 0;
}
