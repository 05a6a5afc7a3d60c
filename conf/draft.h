// A configuration while it is being read: the model so far, the places that later messages need,
// and the names that are used before anyone knows whether they are defined. Owned by one load;
// validate() turns it into a model.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <unordered_map>
#include <vector>

#include "conf/model.h"
#include "conf/source.h"

namespace portunus::conf {

// A name at the place where it is used. `index` is known at once for what the place itself defines
// (the anonymous pool of a site), and looked up by validate() for the rest.
struct NameUse {
  static constexpr std::size_t kUnknown = std::numeric_limits<std::size_t>::max();
  std::string name;
  Place place;
  std::size_t index = kUnknown;
};

struct HostPlace {
  std::string host;
  Place place;
};

// What a site's key says besides the host.
struct SiteDraft {
  Place place;
  std::vector<HostPlace> hosts;    // key and aliases
  std::vector<NameUse> listeners;  // of the key `listeners`
  bool has_own_listener = false;   // the key has a scheme: `listener` is found or made
  bool is_https = false;           // that scheme
  Address listener;
  Place tls_place;          // of the key `tls`; line 0 = none
  bool is_tls_off = false;  // what it says
  bool redirects_http = true;
  bool has_security_headers = false;
  std::vector<Place> route_places;
};

// Of the files of a certificate, where they are first named.
struct CertificatePlace {
  Place file;
  Place key_file;
  bool is_ours = false;  // shown to members, and to nobody else
};

struct AuthorityPlace {
  Place file;
  Place crl_file;  // line 0 = none
};

// What a service says besides its values.
struct ServiceDraft {
  Place place;
  NameUse pool;        // no name = none
  Place ports_place;   // line 0 = none
  Place health_place;  // line 0 = none
  bool has_health = false;
};

// Until validate() has run, PoolShare::pool and ForwardAuth::pool are indexes into pool_uses, and Site::listeners and
// Site::hosts are empty.
struct Draft {
  Model model;
  std::vector<Place> listener_places;                   // as model.listeners
  std::vector<Place> pool_places;                       // as model.pools
  std::vector<SiteDraft> sites;                         // as model.sites
  std::vector<CertificatePlace> certificate_places;     // as model.certificates
  std::unordered_map<std::string, Place> trust_places;  // by UpstreamTls::ca_file
  std::vector<AuthorityPlace> authority_places;         // as model.client_authorities
  std::vector<bool> plain_listeners;   // as model.listeners: declared with `tls: false`
  std::vector<ServiceDraft> services;  // as model.services
  Place admin_place;                   // of `admin.listen`; line 0 = the default
  std::vector<NameUse> bare_pools;     // declared without `upstreams`: services are to feed them
  std::vector<NameUse> pool_uses;
  std::vector<NameUse> includes;  // of the file being read
  // Secrets that were read from files, by path: their index in Sources.
  std::unordered_map<std::string, std::uint32_t> secret_files;
  bool may_read_files = true;  // false for a text that is no file
  bool is_for_root = false;    // as LoadOptions has it
  std::unordered_map<std::string, std::size_t> certificate_files;  // by both paths
  std::unordered_map<std::string, std::size_t> authority_files;
  std::unordered_map<std::string, std::size_t> listener_names;
  std::unordered_map<std::string, std::size_t> pool_names;
  std::unordered_map<std::string, std::size_t> site_names;
  std::unordered_map<std::string, std::size_t> service_names;
};

}  // namespace portunus::conf
