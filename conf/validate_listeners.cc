#include "conf/validate_listeners.h"

#include <algorithm>
#include <utility>

#include "conf/patterns.h"
#include "conf/reader.h"
#include "conf/units.h"

namespace portunus::conf {

void ListenerRules::connect() {
  declared_count_ = model_.listeners.size();
  draft_.plain_listeners.resize(declared_count_, false);
  check_declared();
  for (const std::size_t each : model_.tls.certificates) {
    const auto& loaded = model_.certificates[each].loaded;
    if (loaded == nullptr) {
      are_names_known_ = false;
      continue;
    }
    names_.insert(loaded->names().begin(), loaded->names().end());
  }
  for (std::size_t i = 0; i < model_.sites.size(); ++i) {
    Site& site = model_.sites[i];
    SiteDraft& draft = draft_.sites[i];
    connect(site, draft);
    check_tls(site, draft);
    claim_hosts(site, draft);
  }
}

void ListenerRules::check_declared() {
  for (std::size_t i = 0; i < declared_count_; ++i) {
    const std::string address = format_address(model_.listeners[i].address);
    const auto [known, is_new] = by_address_.emplace(address, i);
    if (is_new) continue;
    report_.error(
        draft_.listener_places[i],
        "the listener " + in_quotes(model_.listeners[i].name) + " has the address " +
            in_quotes(address) + " of another one",
        "the other one is at " + sources_.describe(draft_.listener_places[known->second]));
  }
}

// The listener of an address; made when there is none.
std::size_t ListenerRules::find_or_make(const Address& address,
                                        std::string name,
                                        bool is_tls,
                                        Place place) {
  const auto [known, is_new] =
      by_address_.emplace(format_address(address), model_.listeners.size());
  if (!is_new) {
    const Listener& there = model_.listeners[known->second];
    if (there.is_tls != is_tls) {
      report_.error(place,
                    in_quotes(format_address(address)) + " is the listener " +
                        in_quotes(there.name) + (is_tls ? ", without TLS" : ", with TLS"),
                    "declared at " + there.declared_at);
    }
    return known->second;
  }
  if (draft_.listener_names.contains(name) && !address.host.empty()) {
    name = (is_tls ? "https-" : "http-") + format_address(address);
  }
  const std::string base = name;
  for (int n = 2; draft_.listener_names.contains(name); ++n)
    name = base + '-' + std::to_string(n);
  draft_.listener_names.emplace(name, model_.listeners.size());
  Listener listener;
  listener.name = std::move(name);
  listener.address = address;
  listener.is_tls = listener.offers_h2 = is_tls;
  listener.declared_at = sources_.describe(place);
  model_.listeners.push_back(std::move(listener));
  draft_.listener_places.push_back(place);
  draft_.plain_listeners.push_back(false);
  return known->second;
}

bool ListenerRules::wants_tls(const Site& site, const SiteDraft& draft) const {
  if (draft.is_tls_off) return false;
  if (draft.has_own_listener) return draft.is_https;
  return site.tls != SiteTls::common || !model_.tls.certificates.empty();
}

bool ListenerRules::is_on_tls(const Site& site) const {
  return std::ranges::any_of(site.listeners,
                             [&](std::size_t each) { return model_.listeners[each].is_tls; });
}

void ListenerRules::connect(Site& site, SiteDraft& draft) {
  if (draft.has_own_listener) {
    const std::string name =
        (draft.is_https ? "https-" : "http-") + std::to_string(draft.listener.port);
    site.listeners.push_back(find_or_make(draft.listener, name, draft.is_https, draft.place));
  }
  connect_named(site, draft);
  if (!draft.has_own_listener && draft.listeners.empty()) connect_usual(site, draft);
}

void ListenerRules::connect_named(Site& site, const SiteDraft& draft) {
  for (const NameUse& use : draft.listeners) {
    const auto known = draft_.listener_names.find(use.name);
    if (known == draft_.listener_names.end()) {
      report_.error(use.place, "there is no listener " + in_quotes(use.name), hint_for(use.name));
    } else if (std::ranges::find(site.listeners, known->second) == site.listeners.end()) {
      site.listeners.push_back(known->second);
    }
  }
}

void ListenerRules::connect_usual(Site& site, const SiteDraft& draft) {
  const bool wants = wants_tls(site, draft);
  for (std::size_t i = 0; i < declared_count_; ++i) {
    if (!draft.is_tls_off || !model_.listeners[i].is_tls) site.listeners.push_back(i);
  }
  if (declared_count_ > 0) {
    if (site.listeners.empty())
      report_.error(draft.tls_place, "`tls: off`: all listeners have TLS");
    return;
  }
  site.listeners.push_back(find_or_make({{}, 80}, "http", false, draft.place));
  if (wants) {
    site.listeners.push_back(find_or_make({{}, kHttpsPort}, "https", true, draft.place));
  } else if (site.name != "*" && draft.tls_place.line == 0 && !is_warned_) {
    is_warned_ = true;
    report_.warning(
        draft.place,
        in_quotes(site.name) +
            " is served as plain HTTP on :80: automatic HTTPS comes with a later version",
        "write " + in_quotes("http://" + site.name) +
            " if plain HTTP is meant; else `tls: internal` or `tls: { cert: FILE, key: FILE }`");
  }
}

void ListenerRules::check_tls(const Site& site, const SiteDraft& draft) {
  const bool is_given = draft.tls_place.line > 0;
  if (draft.is_tls_off) {
    if (is_on_tls(site))
      report_.error(draft.tls_place, "`tls: off`: the site has a listener with TLS");
  } else if (is_on_tls(site)) {
    check_certificates(site, draft);
    if (site.client_auth) check_clients(site, draft);
  } else if (is_given && !site.listeners.empty()) {
    report_.error(draft.tls_place, "`tls`: the site has no listener with TLS",
                  draft.has_own_listener ? "write the site's key with https://"
                                         : "give one of its listeners `tls: true`");
  }
}

bool ListenerRules::is_named(std::string_view host) const {
  if (names_.contains(std::string(host))) return true;
  const std::size_t dot = host.find('.');
  return dot != std::string_view::npos && !host.starts_with('*') &&
         names_.contains("*" + std::string(host.substr(dot)));
}

void ListenerRules::check_certificates(const Site& site, const SiteDraft& draft) {
  if (site.tls == SiteTls::internal) return;
  if (site.tls == SiteTls::common && model_.tls.certificates.empty()) {
    report_.error(draft.place, "the site " + in_quotes(site.name) + " needs a certificate",
                  "give it `tls: { cert: FILE, key: FILE }` or `tls: internal`");
    return;
  }
  const auto& certificates = model_.certificates;
  for (const HostPlace& each : draft.hosts) {
    if (each.host == "*") continue;
    if (site.tls == SiteTls::own) {
      const bool is_covered = std::ranges::any_of(site.certificates, [&](std::size_t at) {
        return certificates[at].loaded == nullptr || certificates[at].loaded->covers(each.host);
      });
      if (is_covered || site.certificates.empty()) continue;
      report_.warning(each.place,
                      "the certificate " + certificates[site.certificates.front()].file +
                          " does not name " + in_quotes(each.host),
                      "clients refuse it");
    } else if (are_names_known_ && !is_named(each.host)) {
      report_.error(
          each.place, "no certificate of `tls` names " + in_quotes(each.host),
          "give the site `tls: { cert: FILE, key: FILE }`, `tls: internal` or `tls: off`");
    }
  }
}

// Without TLS nobody shows a certificate.
void ListenerRules::check_clients(const Site& site, const SiteDraft& draft) {
  for (const std::size_t each : site.listeners) {
    const Listener& listener = model_.listeners[each];
    if (listener.is_tls || (draft.redirects_http && !draft_.plain_listeners[each])) continue;
    report_.error(draft.tls_place,
                  "`client_ca`: the site is served without TLS, too, on the listener " +
                      in_quotes(listener.name),
                  "name others under `listeners` of the site");
    return;
  }
}

// One host of one listener belongs to one site.
void ListenerRules::claim_hosts(Site& site, const SiteDraft& draft) {
  const bool gives_way = is_on_tls(site) && draft.redirects_http;
  for (const HostPlace& host : draft.hosts) {
    site.hosts.push_back(host.host);
    for (const std::size_t listener : site.listeners) {
      // A redirect is for hosts that nobody serves there.
      if (gives_way && !model_.listeners[listener].is_tls && !draft_.plain_listeners[listener])
        continue;
      const auto [known, is_new] =
          hosts_.emplace(std::to_string(listener) + ' ' + host.host, host.place);
      if (is_new) continue;
      report_.error(host.place,
                    "the host " + in_quotes(host.host) + " is taken on the listener " +
                        in_quotes(model_.listeners[listener].name),
                    "by the site at " + sources_.describe(known->second));
      break;
    }
  }
}

std::string ListenerRules::hint_for(std::string_view name) {
  if (++hint_count_ > kHintsMax) return {};
  std::vector<std::string_view> names;
  names.reserve(draft_.listener_names.size());
  for (const auto& [known_name, index] : draft_.listener_names)
    names.push_back(known_name);
  std::ranges::sort(names);  // the same hint on every run
  const std::string_view nearest = find_nearest(name, names);
  if (!nearest.empty()) return "did you mean " + in_quotes(nearest) + "?";
  return "define it under `listeners`";
}

// ---- sites of our own making ----

void ListenerRules::split_sites() {
  const std::size_t written = model_.sites.size();
  std::vector<Site> plain_twins;
  for (std::size_t i = 0; i < written; ++i) {
    const SiteDraft& draft = draft_.sites[i];
    if (is_on_tls(model_.sites[i]) && draft.redirects_http) {
      std::vector<std::size_t> plain;
      std::erase_if(model_.sites[i].listeners, [&](std::size_t each) {
        if (model_.listeners[each].is_tls || draft_.plain_listeners[each]) return false;
        plain.push_back(each);
        return true;
      });
      if (!plain.empty()) {
        model_.sites.reserve(model_.sites.size() + plain.size());
        add_redirect(model_.sites[i], plain);
      }
    }
    if (draft.has_security_headers) add_security_headers(model_.sites[i], plain_twins);
  }
  for (Site& each : plain_twins)
    model_.sites.push_back(std::move(each));
}

void ListenerRules::add_redirect(Site& site, const std::vector<std::size_t>& plain) {
  const auto target = std::ranges::find_if(
      site.listeners, [&](std::size_t each) { return model_.listeners[each].is_tls; });
  const std::uint16_t port = model_.listeners[*target].address.port;
  Redirect redirect;
  redirect.to = {{TemplateKind::literal, "https://"}, {TemplateKind::host, {}}};
  if (port != kHttpsPort)
    redirect.to.push_back({TemplateKind::literal, ':' + std::to_string(port)});
  redirect.to.push_back({TemplateKind::path, {}});
  const std::string name = site.name + "#https";
  const std::vector<std::string> hosts = site.hosts;
  for (const std::size_t listener : plain) {
    Site made;
    made.name = name;
    made.listeners.push_back(listener);
    for (const std::string& host : hosts) {
      if (hosts_.emplace(std::to_string(listener) + ' ' + host, Place{}).second)
        made.hosts.push_back(host);
    }
    if (made.hosts.empty()) continue;
    made.addresses = site.addresses;
    Route route;
    route.name = name;
    route.action = redirect;
    made.routes.push_back(std::move(route));
    model_.sites.push_back(std::move(made));
  }
}

void ListenerRules::add_security_headers(Site& site, std::vector<Site>& plain_twins) {
  HeaderChanges& changes = site.response_headers;
  changes.set.push_back({"x-content-type-options", "nosniff"});
  changes.defaults = {
      {"x-frame-options", "SAMEORIGIN"},
      {"referrer-policy", "strict-origin-when-cross-origin"},
      {"content-security-policy", "base-uri 'self'; frame-ancestors 'self'; object-src 'none'"}};
  if (!is_on_tls(site)) return;
  // Clients ignore it elsewhere, and must not get it (RFC 6797 section 7.2).
  Site plain = site;
  std::erase_if(plain.listeners, [&](std::size_t each) { return model_.listeners[each].is_tls; });
  changes.set.push_back({"strict-transport-security", "max-age=31536000"});
  if (plain.listeners.empty()) return;
  std::erase_if(site.listeners, [&](std::size_t each) { return !model_.listeners[each].is_tls; });
  plain_twins.push_back(std::move(plain));
}

}  // namespace portunus::conf
