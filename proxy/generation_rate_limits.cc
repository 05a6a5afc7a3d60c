#include "proxy/generation_rate_limits.h"

#include <algorithm>
#include <map>
#include <utility>

namespace portunus::proxy {
namespace {

class Maker {
 public:
  explicit Maker(const RateLimits* previous) : previous_(previous) {}

  // Twins of a site (one for listeners with TLS, one for those without) come to the same one.
  RateLimiter* get(const std::string& key, const std::string& name, const conf::RateLimit& rule) {
    const auto [known, is_new] = made_.try_emplace(key);
    if (is_new) {
      known->second = find_before(key, rule);
      if (!known->second) known->second = std::make_shared<RateLimiter>(name, rule);
    }
    return known->second.get();
  }
  [[nodiscard]] std::vector<RateLimits::Entry> take() {
    std::vector<RateLimits::Entry> entries;
    entries.reserve(made_.size());
    for (auto& [key, limiter] : made_)
      entries.push_back({key, std::move(limiter)});
    return entries;
  }

 private:
  [[nodiscard]] std::shared_ptr<RateLimiter> find_before(const std::string& key,
                                                         const conf::RateLimit& rule) const {
    if (previous_ == nullptr) return nullptr;
    const auto place =
        std::ranges::lower_bound(previous_->entries, key, {}, &RateLimits::Entry::key);
    if (place == previous_->entries.end() || place->key != key || place->limiter->rule() != rule)
      return nullptr;
    return place->limiter;
  }

  const RateLimits* previous_;
  std::map<std::string, std::shared_ptr<RateLimiter>> made_;
};

}  // namespace

RateLimits make_rate_limits(const conf::Model& model, const RateLimits* previous) {
  RateLimits limits;
  Maker maker(previous);
  for (const conf::Site& site : model.sites) {
    RateLimiter* const of_site =
        site.rate_limit ? maker.get(site.name, site.name, *site.rate_limit) : nullptr;
    for (const conf::Route& route : site.routes) {
      RateLimiter* limiter = route.has_site_limit ? of_site : nullptr;
      // No name has the end of a line in it.
      if (route.rate_limit)
        limiter = maker.get(site.name + '\n' + route.name, route.name, *route.rate_limit);
      limits.of_route.push_back(limiter);
    }
  }
  limits.entries = maker.take();
  return limits;
}

std::vector<RateLimitView> views_of(const RateLimits& limits, std::uint64_t now_ns) {
  std::map<std::string, RateLimitView> views;
  for (const RateLimits::Entry& entry : limits.entries) {
    const RateLimiter& limiter = *entry.limiter;
    RateLimitView& view = views[limiter.name()];
    view.name = limiter.name();
    (limiter.rule().report_only ? view.reported : view.limited) += limiter.refused();
    view.evicted += limiter.evicted();
    view.keys += limiter.count_held(now_ns);
  }
  std::vector<RateLimitView> out;
  out.reserve(views.size());
  for (auto& [name, view] : views)
    out.push_back(std::move(view));
  return out;
}

}  // namespace portunus::proxy
