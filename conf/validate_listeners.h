// Which site is served on which listener, and how: finds or makes listeners, gives each host of each
// listener to one site, sees that there are certificates, and adds the redirects from listeners without
// TLS. Part of validation; on the stack of one load.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "conf/draft.h"
#include "conf/source.h"

namespace portunus::conf {

class ListenerRules {
 public:
  ListenerRules(Draft& draft, const Sources& sources, Report& report)
      : draft_(draft), model_(draft.model), sources_(sources), report_(report) {}

  // Site::listeners and Site::hosts.
  void connect();
  // Sites of our own making at the end of Model::sites, which have no draft. After that, listeners
  // know all their sites. The last step: routes are complete.
  void split_sites();

 private:
  void check_declared();
  void connect(Site& site, SiteDraft& draft);
  void connect_named(Site& site, const SiteDraft& draft);
  void connect_usual(Site& site, const SiteDraft& draft);
  void check_tls(const Site& site, const SiteDraft& draft);
  void check_certificates(const Site& site, const SiteDraft& draft);
  void check_clients(const Site& site, const SiteDraft& draft);
  void claim_hosts(Site& site, const SiteDraft& draft);
  void add_redirect(Site& site, const std::vector<std::size_t>& plain);
  void add_security_headers(Site& site, std::vector<Site>& plain_twins);
  [[nodiscard]] std::size_t find_or_make(const Address& address,
                                         std::string name,
                                         bool is_tls,
                                         Place place);
  [[nodiscard]] bool wants_tls(const Site& site, const SiteDraft& draft) const;
  [[nodiscard]] bool is_on_tls(const Site& site) const;
  [[nodiscard]] bool is_named(std::string_view host) const;
  [[nodiscard]] std::string hint_for(std::string_view name);

  Draft& draft_;
  Model& model_;
  const Sources& sources_;
  Report& report_;
  std::size_t declared_count_ = 0;
  std::unordered_map<std::string, std::size_t> by_address_;
  std::unordered_map<std::string, Place> hosts_;  // "listener host"
  std::unordered_set<std::string> names_;         // in Tls::certificates
  bool are_names_known_ = true;                   // each of them has been read
  int hint_count_ = 0;
  bool is_warned_ = false;
};

}  // namespace portunus::conf
