#include "conf/validate_services.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "conf/units.h"

namespace portunus::conf {
namespace {

bool holds(const PortRange& range, std::uint16_t port) {
  return port != 0 && port >= range.first && port <= range.last;
}

bool is_here(const std::string& host) {
  return host == "localhost" || host == "::1" || (host.starts_with("127.") && is_ip_address(host));
}

class ServiceValidator {
 public:
  ServiceValidator(Draft& draft, const Sources& sources, Report& report)
      : draft_(draft), model_(draft.model), sources_(sources), report_(report) {}

  void run() {
    find_overlaps();
    for (std::size_t i = 0; i < model_.services.size(); ++i) {
      if (model_.services[i].ports.size() == 0) continue;
      check_listeners(i);
      check_admin(i);
    }
    for (std::size_t i = 0; i < model_.services.size(); ++i) {
      join_pool(i);
      check_probed_port(i);
      check_user(i);
    }
    for (const NameUse& pool : draft_.bare_pools) {
      if (model_.pools[pool.index].is_dynamic) continue;
      report_.error(pool.place, "a pool needs the key `upstreams`",
                    "or `consul`, or a service with `pool: " + pool.name + "`");
    }
  }

 private:
  // In the order of the ports, each against the one so far that reaches furthest.
  void find_overlaps() {
    std::vector<std::size_t> order;
    for (std::size_t i = 0; i < model_.services.size(); ++i) {
      if (model_.services[i].ports.size() > 0) order.push_back(i);
    }
    std::ranges::stable_sort(order, {}, [&](std::size_t i) { return ports(i).first; });
    for (std::size_t k = 1, furthest = 0; k < order.size(); ++k) {
      const std::size_t other = order[furthest];
      if (ports(order[k]).first <= ports(other).last) report_overlap(order[k], other);
      if (ports(order[k]).last > ports(other).last) furthest = k;
    }
  }

  void report_overlap(std::size_t a, std::size_t b) {
    const auto [first, second] = std::minmax(a, b);
    report_.error(draft_.services[second].ports_place,
                  "`ports`: the service " + in_quotes(model_.services[first].name) +
                      " takes some of these, too",
                  "its ports are at " + sources_.describe(draft_.services[first].ports_place));
  }

  void check_listeners(std::size_t i) {
    for (std::size_t k = 0; k < model_.listeners.size(); ++k) {
      const Listener& listener = model_.listeners[k];
      if (!holds(ports(i), listener.address.port)) continue;
      report_.error(draft_.services[i].ports_place,
                    "`ports`: " + std::to_string(listener.address.port) +
                        " is the port of the listener " + in_quotes(listener.name),
                    "the listener is at " + sources_.describe(draft_.listener_places[k]));
      return;
    }
  }

  void check_admin(std::size_t i) {
    if (!model_.admin.is_enabled || !holds(ports(i), model_.admin.listen.port)) return;
    const bool is_written = draft_.admin_place.line > 0;
    report_.error(draft_.services[i].ports_place,
                  "`ports`: " + std::to_string(model_.admin.listen.port) +
                      " is the port of the admin interface",
                  is_written ? "`admin.listen` is at " + sources_.describe(draft_.admin_place)
                             : "`admin.listen` is " + format_address(model_.admin.listen) +
                                   " unless it is given");
  }

  void join_pool(std::size_t i) {
    const ServiceDraft& draft = draft_.services[i];
    if (draft.pool.index == NameUse::kUnknown) return;  // none, or reported
    Service& service = model_.services[i];
    Pool& pool = model_.pools[draft.pool.index];
    pool.is_dynamic = true;
    service.pool = draft.pool.index;
    if (!draft.has_health) service.health = pool.health;
    probe_as_pool(pool, service.health);
    const auto taken = std::ranges::find_if(pool.upstreams, [&](const Upstream& upstream) {
      return is_here(upstream.address.host) && holds(service.ports, upstream.address.port);
    });
    if (taken == pool.upstreams.end()) return;
    report_.error(draft.ports_place,
                  "`ports`: the pool " + in_quotes(pool.name) + " has the upstream " +
                      in_quotes(format_address(taken->address)) + " already",
                  "the pool is at " + sources_.describe(draft_.pool_places[draft.pool.index]) +
                      "; replicas join it by themselves");
  }

  // After join_pool(): probes may be those of the pool.
  void check_probed_port(std::size_t i) {
    const Service& service = model_.services[i];
    if (service.health.kind == ProbeKind::off || service.health.port == 0) return;
    if (service.replicas_max <= 1) return;
    const ServiceDraft& draft = draft_.services[i];
    report_.error(draft.has_health ? draft.health_place : draft.pool.place,
                  "`health.port`: " + std::to_string(service.health.port) +
                      " is one port for all of up to " + std::to_string(service.replicas_max) +
                      " replicas: none is probed by itself",
                  draft.has_health
                      ? "without `port` each is probed at its own"
                      : "it is the pool's; give the service a `health` of its own, without `port`");
  }

  // The key `user` of the file says as much as being root: it has a meaning for root alone.
  void check_user(std::size_t i) {
    const bool is_for_root = draft_.is_for_root || !model_.user.empty();
    if (!is_for_root || !model_.services[i].user.empty()) return;
    report_.warning(draft_.services[i].place,
                    "the service " + in_quotes(model_.services[i].name) +
                        " has no `user`: it runs as root when `portunus run` is started as root",
                    "`user: NAME` of the service; `user: root` if that is meant");
  }

  [[nodiscard]] const PortRange& ports(std::size_t i) const { return model_.services[i].ports; }

  Draft& draft_;
  Model& model_;
  const Sources& sources_;
  Report& report_;
};

}  // namespace

void validate_services(Draft& draft, const Sources& sources, Report& report) {
  ServiceValidator(draft, sources, report).run();
}

}  // namespace portunus::conf
