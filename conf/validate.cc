#include "conf/validate.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <variant>
#include <vector>

#include "conf/patterns.h"
#include "conf/reader.h"
#include "conf/units.h"
#include "conf/validate_listeners.h"
#include "conf/validate_services.h"

namespace portunus::conf {
namespace {

class Validator {
 public:
  Validator(Draft& draft, const Sources& sources, Report& report)
      : draft_(draft),
        model_(draft.model),
        sources_(sources),
        report_(report),
        listeners_(draft, sources, report) {}

  void run() {
    if (model_.sites.empty() && model_.services.empty() && !report_.has_errors()) {
      report_.error({0, 0, 0}, "no sites, and no services: there is nothing to do",
                    "the smallest file is: sites: { \"http://:8080\": 127.0.0.1:9001 }");
    }
    name_anonymous_pools();
    listeners_.connect();
    for (std::size_t i = 0; i < model_.sites.size(); ++i) {
      name_routes(model_.sites[i], draft_.sites[i]);
      find_unreachable(model_.sites[i], draft_.sites[i]);
    }
    resolve_pools();
    check_rate_limits();
    listeners_.split_sites();
    check_admin();
    validate_services(draft_, sources_, report_);
    warn_unused();
  }

 private:
  std::string hint_for(std::string_view name,
                       const std::unordered_map<std::string, std::size_t>& known,
                       std::string_view what) {
    if (++hint_count_ > kHintsMax) return {};
    std::vector<std::string_view> names;
    names.reserve(known.size());
    for (const auto& [known_name, index] : known)
      names.push_back(known_name);
    std::ranges::sort(names);  // the same hint on every run
    const std::string_view nearest = find_nearest(name, names);
    if (!nearest.empty()) return "did you mean " + in_quotes(nearest) + "?";
    return "define it under " + in_quotes(what);
  }

  // Each takes its memory as its keys come, so that together they need a bound.
  void check_rate_limits() {
    constexpr std::uint64_t kKeysMax = 50'000'000;  // 16 to 32 bytes each
    std::uint64_t keys = 0;
    for (std::size_t i = 0; i < model_.sites.size(); ++i) {
      const Site& site = model_.sites[i];
      if (site.rate_limit) keys += site.rate_limit->keys;
      for (const Route& route : site.routes)
        keys += route.rate_limit ? route.rate_limit->keys : 0;
      if (keys <= kKeysMax) continue;
      report_.error(draft_.sites[i].place,
                    "the rate limits up to here may remember more than 50000000 keys together",
                    "lower `keys`, or limit sites instead of their routes");
      return;
    }
  }

  void name_routes(Site& site, const SiteDraft& draft) {
    std::unordered_map<std::string_view, std::size_t> names;
    for (std::size_t i = 0; i < site.routes.size(); ++i) {
      if (site.routes[i].name.empty()) continue;
      const auto [known, is_new] = names.emplace(site.routes[i].name, i);
      if (!is_new) {
        report_.error(
            draft.route_places[i], "a second route with the name " + in_quotes(site.routes[i].name),
            "the first one is at " + sources_.describe(draft.route_places[known->second]));
      }
    }
    for (std::size_t i = 0; i < site.routes.size(); ++i) {
      Route& route = site.routes[i];
      if (!route.name.empty()) continue;
      std::string path;
      if (!route.match.paths.empty()) path = format_path_pattern(route.match.paths.front());
      const std::string position = '#' + std::to_string(i + 1);
      const bool is_catch_all = route.match == Match{};
      std::string name = site.name;
      if (!is_catch_all) name += path.empty() || path.size() > kRouteNameMax ? position : path;
      if (names.contains(name)) name += position;
      while (names.contains(name))
        name += '\'';  // only against a user who names routes like ours
      route.name = std::move(name);
      names.emplace(route.name, i);
    }
  }

  void find_unreachable(const Site& site, const SiteDraft& draft) {
    const auto catch_all = std::ranges::find_if(site.routes, [](const Route& r) {
      return r.match.methods.empty() && r.match.headers.empty() && r.match.query.empty() &&
             (r.match.paths.empty() ||
              std::ranges::find(r.match.paths, PathPattern{}) != r.match.paths.end());
    });
    const auto at = static_cast<std::size_t>(catch_all - site.routes.begin());
    if (at + 1 >= site.routes.size()) return;
    report_.warning(draft.route_places[at + 1], "no request comes to this route",
                    "the one at " + sources_.describe(draft.route_places[at]) +
                        " takes all; the order of routes counts");
  }

  // A site's key may also be the name of a pool.
  void name_anonymous_pools() {
    for (Pool& pool : model_.pools) {
      const auto index = static_cast<std::size_t>(&pool - model_.pools.data());
      const auto known = draft_.pool_names.find(pool.name);
      if (known != draft_.pool_names.end() && known->second != index) pool.name += "#site";
    }
  }

  bool find_pool(NameUse& use) {
    if (use.index != NameUse::kUnknown) return true;
    const auto known = draft_.pool_names.find(use.name);
    if (known == draft_.pool_names.end()) {
      report_.error(use.place, "there is no pool " + in_quotes(use.name),
                    hint_for(use.name, draft_.pool_names, "pools"));
      return false;
    }
    use.index = known->second;
    return true;
  }

  void resolve_pools() {
    is_pool_used_.resize(model_.pools.size(), false);
    for (NameUse& use : draft_.pool_uses) {
      if (find_pool(use)) is_pool_used_[use.index] = true;
    }
    for (ServiceDraft& service : draft_.services) {
      if (!service.pool.name.empty()) find_pool(service.pool);
    }
    for (Site& site : model_.sites) {
      if (site.forward_auth)
        site.forward_auth->pool = draft_.pool_uses[site.forward_auth->pool].index;
      for (Route& route : site.routes) {
        if (route.forward_auth)
          route.forward_auth->pool = draft_.pool_uses[route.forward_auth->pool].index;
        auto* forward = std::get_if<Forward>(&route.action);
        if (forward == nullptr) continue;
        for (PoolShare& share : forward->shares)
          share.pool = draft_.pool_uses[share.pool].index;
      }
    }
  }

  void check_admin() {
    if (!model_.admin.is_enabled) return;
    for (std::size_t i = 0; i < model_.listeners.size(); ++i) {
      const Address& address = model_.listeners[i].address;
      if (address.port != model_.admin.listen.port ||
          (!address.host.empty() && address.host != model_.admin.listen.host)) {
        continue;
      }
      report_.error(draft_.listener_places[i],
                    "the admin interface already listens on " +
                        in_quotes(format_address(model_.admin.listen)),
                    "give `admin.listen` another port");
    }
  }

  void warn_unused() {
    // With errors about, what looks unused may be what was misspelt.
    if (report_.has_errors()) return;
    for (std::size_t i = 0; i < model_.pools.size(); ++i) {
      if (is_pool_used_[i]) continue;
      report_.warning(
          draft_.pool_places[i],
          (model_.pools[i].is_dynamic ? "no site uses the pool " : "nothing uses the pool ") +
              in_quotes(model_.pools[i].name));
    }
    std::unordered_set<std::size_t> used;
    for (const Site& site : model_.sites)
      used.insert(site.listeners.begin(), site.listeners.end());
    for (std::size_t i = 0; i < model_.listeners.size(); ++i) {
      if (used.contains(i)) continue;
      report_.warning(draft_.listener_places[i],
                      "no site uses the listener " + in_quotes(model_.listeners[i].name));
    }
  }

  Draft& draft_;
  Model& model_;
  const Sources& sources_;
  Report& report_;
  ListenerRules listeners_;
  std::vector<bool> is_pool_used_;
  int hint_count_ = 0;
};

}  // namespace

void validate(Draft& draft, const Sources& sources, Report& report) {
  Validator(draft, sources, report).run();
}

}  // namespace portunus::conf
