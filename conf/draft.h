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
  Address listener;
  std::vector<Place> route_places;
};

// Until validate() has run, PoolShare::pool is an index into pool_uses, and Site::listeners and
// Site::hosts are empty.
struct Draft {
  Model model;
  std::vector<Place> listener_places;  // as model.listeners
  std::vector<Place> pool_places;      // as model.pools
  std::vector<SiteDraft> sites;        // as model.sites
  std::vector<NameUse> pool_uses;
  std::vector<NameUse> includes;  // of the file being read
  // Secrets that were read from files, by path: their index in Sources.
  std::unordered_map<std::string, std::uint32_t> secret_files;
  bool may_read_files = true;  // false for a text that is no file
  std::unordered_map<std::string, std::size_t> listener_names;
  std::unordered_map<std::string, std::size_t> pool_names;
  std::unordered_map<std::string, std::size_t> site_names;
};

}  // namespace portunus::conf
