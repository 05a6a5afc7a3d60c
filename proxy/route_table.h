// From listener, host and request to a route, at a cost that depends neither on the number of sites
// nor on the number of routes: one hash look-up for the host (exact, then `*.rest`, then `*`), then
// one per segment of the path at which the site has paths. What is found at these path nodes
// competes by written order: the first whose other matchers hold wins. Only routes of one and the
// same path are tried one by one. Built once per generation, immutable, any thread; find()
// allocates nothing. The configuration must outlive the table.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/hash.h"
#include "conf/model.h"
#include "http/message.h"
#include "proxy/address_rules.h"
#include "proxy/matcher.h"
#include "proxy/route.h"

namespace portunus::proxy {

class RouteTable {
 public:
  // `hash` only to make tests repeatable. Of two sites with one host on one listener the first has
  // it.
  [[nodiscard]] static RouteTable build(const conf::Model& model, base::KeyedHash hash = {});

  RouteTable(RouteTable&&) = default;
  RouteTable& operator=(RouteTable&&) = default;
  RouteTable(const RouteTable&) = delete;
  RouteTable& operator=(const RouteTable&) = delete;
  ~RouteTable() = default;

  // `listener` is its index in the model. The host may have a final dot. A path of "*" (OPTIONS *)
  // is matched by routes without a path and by `/*`.
  [[nodiscard]] RouteMatch find(std::size_t listener, const http::Head& request) const;

  // Before the table is shared: `id_of` maps a route's name to its number in the metrics.
  template <typename IdOf>
  void set_metrics_ids(const IdOf& id_of) {
    for (Route& route : routes_)
      route.metrics_id = id_of(route.name);
  }
  // The same for the sites of the configuration that the table was built of.
  template <typename IdOf>
  void set_site_ids(std::span<const conf::Site> sites, const IdOf& id_of) {
    site_ids_.resize(routes_.size());
    std::size_t first = 0;
    for (const conf::Site& site : sites) {
      site_ids_[first] = id_of(site.name);
      first += site.routes.size();
    }
  }
  // Of the site that a client means who names this host in its TLS handshake, in any case; 0: nobody's.
  [[nodiscard]] std::uint32_t site_id(std::size_t listener, std::string_view host) const;
  // Before the table is shared: by Route::index, one for each; they outlive the table's use.
  void set_limiters(std::span<RateLimiter* const> limiters) {
    for (Route& route : routes_)
      route.limiter = limiters[route.index];
  }
  // Whether any route has `cors`.
  [[nodiscard]] bool has_cors() const { return has_cors_; }
  // In the order of Route::index. They keep their place when the table is moved.
  [[nodiscard]] std::span<const Route> routes() const { return routes_; }
  // What the table takes besides the configuration.
  [[nodiscard]] std::size_t memory_bytes() const;

 private:
  friend class RouteTableBuilder;

  static constexpr std::uint32_t kNone = 0xffffffff;

  // A route at a path node. Lists are sorted by written order.
  struct Candidate {
    std::uint32_t packed;   // route, counted from the site's first, and is_exact in the lowest bit
    std::uint32_t matcher;  // index into matchers_; kNone: nothing else to match

    [[nodiscard]] std::uint32_t route() const { return packed >> 1; }
    // Not for what lies below the node.
    [[nodiscard]] bool is_exact() const { return (packed & 1) != 0; }
  };
  // Plain words from here on, to be copied in and out of lines_. A part of candidates_; with count
  // 0, `first` is a single one without matcher, packed, or none at all (kNone).
  struct Candidates {
    std::uint32_t first;
    std::uint32_t count;
  };
  // One path that a pattern of the site names; the text follows, up to a whole word.
  struct Node {
    std::uint32_t text_size;
    Candidates candidates;
  };
  // What a look-up of one site touches lies together in cache lines of lines_: the site with its
  // hosts' names behind it, and from the next line on, at `paths_at` (in words), its paths block:
  // open-addressing slots, then nodes. Sites that have the same paths in the same order share the
  // block of the first.
  struct Site {
    std::uint32_t first_route;
    std::uint32_t depths;  // bit n: it has paths of n+1 segments; the last one: of 32 and more
    std::uint32_t slot_mask;
    std::uint32_t paths_at;
    Candidates root;  // of `/*` and of routes without a path
  };
  static constexpr std::size_t kLineWords = 16;
  struct alignas(64) Line {
    std::uint32_t words[kLineWords];
  };
  struct HostSlot {
    std::uint32_t tag = 0;  // of the hash
    std::uint32_t text_at = 0;
    std::uint16_t text_size = 0;  // 0: the slot is free
    std::uint16_t listener = 0;
    std::uint32_t site = 0;  // in words of lines_, as is text_at in bytes
  };
  struct Best {
    std::uint32_t route = kNone;
    std::size_t rest_at = 0;  // where path_rest begins
  };

  RouteTable() = default;
  [[nodiscard]] const std::uint32_t* words() const { return lines_.data()->words; }
  [[nodiscard]] const char* bytes() const { return reinterpret_cast<const char*>(words()); }
  // In words; kNone when there is none.
  [[nodiscard]] std::uint32_t find_site(std::size_t listener, std::string_view host) const;
  [[nodiscard]] std::uint32_t find_host(std::size_t listener, std::string_view host) const;
  [[nodiscard]] Candidates find_path(const Site& site,
                                     std::string_view path,
                                     std::uint64_t hash) const;
  void consider(Candidates list, std::size_t end, const http::Head& request, Best& best) const;

  base::KeyedHash hash_{0, 0};
  std::vector<Route> routes_;
  std::vector<std::uint32_t> site_ids_;                                       // by first route
  std::vector<std::unique_ptr<const std::vector<std::string>>> auth_fields_;  // the same
  std::vector<std::unique_ptr<const AddressRules>> addresses_;  // routes point to them
  std::vector<HostSlot> host_slots_;                            // a power of two; open addressing
  std::vector<std::uint32_t> any_site_;                         // per listener: the site of `*`
  std::vector<Line> lines_;
  std::vector<Candidate> candidates_;
  std::vector<Matcher> matchers_;
  bool has_wildcards_ = false;
  bool has_cors_ = false;
};

}  // namespace portunus::proxy
