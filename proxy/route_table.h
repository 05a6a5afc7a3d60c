// From listener, host and request to a route, at a cost that depends neither on the number of sites
// nor on the number of routes: one hash look-up for the host (exact, then `*.rest`, then `*`), then
// one per segment of the path, as deep as the site has paths. What is found at these path nodes
// competes by written order: the first whose other matchers hold wins. Only routes of one and the
// same path are tried one by one. Built once per generation, immutable, any thread; find()
// allocates nothing. The configuration must outlive the table.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/hash.h"
#include "conf/model.h"
#include "http/message.h"
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

  // In the order of Route::index. They keep their place when the table is moved.
  [[nodiscard]] std::span<const Route> routes() const { return routes_; }
  // What the table takes besides the configuration.
  [[nodiscard]] std::size_t memory_bytes() const;

 private:
  friend class RouteTableBuilder;

  static constexpr std::uint32_t kNone = 0xffffffff;

  // A route at a path node. Lists are sorted by written order.
  struct Candidate {
    std::uint32_t route : 31;    // counted from the site's first
    std::uint32_t is_exact : 1;  // not for what lies below the node
    std::uint32_t matcher;       // index into matchers_; kNone: nothing else to match
  };
  struct Candidates {
    std::uint32_t first = 0;
    std::uint32_t count = 0;
  };
  // One path that a pattern of the site names.
  struct Node {
    std::uint32_t text_at;
    std::uint32_t text_size;
    Candidates candidates;
  };
  struct Site {
    std::uint32_t first_route = 0;
    std::uint32_t first_slot = 0;  // its part of path_slots_, open addressing
    std::uint32_t slot_mask = 0;
    std::uint32_t first_node = 0;
    std::uint32_t depth_max = 0;  // segments of its longest path; 0: the root only
    Candidates root;              // of `/*` and of routes without a path
  };
  struct HostSlot {
    std::uint32_t tag = 0;  // of the hash
    std::uint32_t text_at = 0;
    std::uint16_t text_size = 0;  // 0: the slot is free
    std::uint16_t listener = 0;
    std::uint32_t site = 0;
  };
  struct Best {
    std::uint32_t route = kNone;
    std::size_t rest_at = 0;  // where path_rest begins
  };

  RouteTable() = default;
  [[nodiscard]] const Site* find_site(std::size_t listener, std::string_view host) const;
  [[nodiscard]] std::uint32_t find_host(std::size_t listener, std::string_view host) const;
  [[nodiscard]] const Node* find_node(const Site& site,
                                      std::string_view path,
                                      std::uint64_t hash) const;
  void consider(Candidates list, std::size_t end, const http::Head& request, Best& best) const;

  base::KeyedHash hash_{0, 0};
  std::vector<Route> routes_;
  std::vector<Site> sites_;
  std::vector<HostSlot> host_slots_;     // a power of two; open addressing
  std::vector<std::uint32_t> any_site_;  // per listener: the site of `*`
  std::vector<std::uint32_t> path_slots_;
  std::vector<Node> nodes_;
  std::vector<Candidate> candidates_;
  std::vector<Matcher> matchers_;
  std::string text_;  // of hosts and paths
  bool has_wildcards_ = false;
};

}  // namespace portunus::proxy
