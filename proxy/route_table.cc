#include "proxy/route_table.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <tuple>

namespace portunus::proxy {
namespace {

// The last label's dot says nothing to us: "example.com." is the host "example.com".
std::string_view without_final_dot(std::string_view host) {
  if (host.ends_with('.')) host.remove_suffix(1);
  return host;
}

std::uint32_t tag_of(std::uint64_t hash) {
  return static_cast<std::uint32_t>(hash >> 32);
}

std::uint32_t size32(std::size_t size) {
  return static_cast<std::uint32_t>(size);
}

// A path slot holds 8 bits of the hash above a node number plus one; 0 is free.
constexpr std::uint32_t kSlotNodeBits = 24;
constexpr std::uint32_t kSlotNodeMask = (1U << kSlotNodeBits) - 1;

}  // namespace

// Gathers what grows while a table is built.
class RouteTableBuilder {
 public:
  RouteTableBuilder(const conf::Model& model, base::KeyedHash hash) : model_(model) {
    table_.hash_ = hash;
  }

  RouteTable build();

 private:
  struct Pattern {
    std::string_view text;  // empty: the root
    RouteTable::Candidate candidate;
  };

  void add_site(const conf::Site& site);
  Route make_route(const conf::Site& site, const conf::Route& route) const;
  std::uint32_t add_matcher(const conf::Match& match);
  void add_paths(RouteTable::Site& site);
  void add_slots(RouteTable::Site& site);
  void add_hosts(const conf::Site& site, std::uint32_t number);
  void add_host(std::uint16_t listener, std::string_view host, std::uint32_t site);

  const conf::Model& model_;
  RouteTable table_;
  std::vector<Pattern> patterns_;  // of the site at hand
};

RouteTable RouteTableBuilder::build() {
  std::size_t routes = 0;
  std::size_t hosts = 0;
  for (const conf::Site& site : model_.sites) {
    routes += site.routes.size();
    hosts += site.hosts.size() * site.listeners.size();
  }
  table_.routes_.reserve(routes);
  table_.sites_.reserve(model_.sites.size());
  table_.host_slots_.resize(std::bit_ceil(hosts + hosts / 2 + 1));
  table_.any_site_.resize(model_.listeners.size(), RouteTable::kNone);
  for (const conf::Site& site : model_.sites)
    add_site(site);
  table_.path_slots_.shrink_to_fit();
  table_.nodes_.shrink_to_fit();
  table_.candidates_.shrink_to_fit();
  table_.matchers_.shrink_to_fit();
  table_.text_.shrink_to_fit();
  return std::move(table_);
}

void RouteTableBuilder::add_site(const conf::Site& site) {
  RouteTable::Site made;
  made.first_route = size32(table_.routes_.size());
  patterns_.clear();
  for (std::size_t i = 0; i < site.routes.size(); ++i) {
    const conf::Route& route = site.routes[i];
    table_.routes_.push_back(make_route(site, route));
    RouteTable::Candidate candidate{
        .route = size32(i) & 0x7fffffffU, .is_exact = 0, .matcher = add_matcher(route.match)};
    if (route.match.paths.empty()) patterns_.push_back({{}, candidate});
    for (const conf::PathPattern& pattern : route.match.paths) {
      std::string_view text = pattern.path;
      while (pattern.is_prefix && text.ends_with('/'))
        text.remove_suffix(1);
      candidate.is_exact = pattern.is_prefix ? 0 : 1;
      patterns_.push_back({text, candidate});
    }
  }
  add_paths(made);
  add_slots(made);
  add_hosts(site, size32(table_.sites_.size()));
  table_.sites_.push_back(made);
}

Route RouteTableBuilder::make_route(const conf::Site& site, const conf::Route& route) const {
  const auto step = [](const conf::HeaderChanges& changes) {
    return changes == conf::HeaderChanges{} ? nullptr : &changes;
  };
  Route made;
  made.name = route.name;
  made.config = &route;
  made.index = size32(table_.routes_.size());
  made.request_headers = {step(site.request_headers), step(route.request_headers)};
  made.response_headers = {step(site.response_headers), step(route.response_headers)};
  made.body_bytes_max = route.body_bytes.value_or(model_.limits.body_bytes);
  made.has_total = route.total.has_value();
  if (route.total) made.total_ms = static_cast<std::uint64_t>(route.total->count());
  if (const auto* forward = std::get_if<conf::Forward>(&route.action)) {
    made.action = RouteAction::forward;
    for (const conf::PoolShare& share : forward->shares)
      made.weight_sum += share.weight;
  } else {
    made.action = std::holds_alternative<conf::Redirect>(route.action) ? RouteAction::redirect
                                                                       : RouteAction::respond;
  }
  return made;
}

std::uint32_t RouteTableBuilder::add_matcher(const conf::Match& match) {
  if (Matcher::is_trivial(match)) return RouteTable::kNone;
  table_.matchers_.emplace_back(match);
  return size32(table_.matchers_.size() - 1);
}

// One node for each text of patterns_, with its candidates in written order.
void RouteTableBuilder::add_paths(RouteTable::Site& site) {
  const auto key = [](const Pattern& p) {
    return std::tuple(p.text, p.candidate.route + 0U);
  };
  std::ranges::sort(patterns_, {}, key);
  site.first_node = size32(table_.nodes_.size());
  for (std::size_t i = 0; i < patterns_.size();) {
    const std::string_view text = patterns_[i].text;
    RouteTable::Candidates list{.first = size32(table_.candidates_.size()), .count = 0};
    for (; i < patterns_.size() && patterns_[i].text == text; ++i, ++list.count) {
      table_.candidates_.push_back(patterns_[i].candidate);
    }
    if (text.empty()) {
      site.root = list;
      continue;
    }
    site.depth_max =
        std::max(site.depth_max, size32(static_cast<std::size_t>(std::ranges::count(text, '/'))));
    table_.nodes_.push_back({size32(table_.text_.size()), size32(text.size()), list});
    table_.text_ += text;
  }
}

void RouteTableBuilder::add_slots(RouteTable::Site& site) {
  const std::size_t nodes = table_.nodes_.size() - site.first_node;
  const std::size_t slots = nodes == 0 ? 0 : std::bit_ceil(nodes + nodes / 2 + 1);
  site.first_slot = size32(table_.path_slots_.size());
  site.slot_mask = slots == 0 ? 0 : size32(slots - 1);
  table_.path_slots_.resize(table_.path_slots_.size() + slots);
  for (std::size_t i = 0; i < nodes; ++i) {
    const RouteTable::Node& node = table_.nodes_[site.first_node + i];
    const std::string_view text =
        std::string_view(table_.text_).substr(node.text_at, node.text_size);
    std::uint64_t hash = 0;
    for (std::size_t begin = 0; begin < text.size();) {
      const std::size_t end = std::min(text.find('/', begin + 1), text.size());
      hash = table_.hash_(text.substr(begin, end - begin), hash);
      begin = end;
    }
    std::size_t at = hash & site.slot_mask;
    while (table_.path_slots_[site.first_slot + at] != 0)
      at = (at + 1) & site.slot_mask;
    table_.path_slots_[site.first_slot + at] =
        (tag_of(hash) & ~kSlotNodeMask) | (size32(i + 1) & kSlotNodeMask);
  }
}

void RouteTableBuilder::add_hosts(const conf::Site& site, std::uint32_t number) {
  for (const std::size_t listener : site.listeners) {
    for (const std::string& host : site.hosts) {
      if (host == "*") {
        std::uint32_t& any = table_.any_site_[listener];
        if (any == RouteTable::kNone) any = number;
      } else if (host.starts_with("*.")) {
        table_.has_wildcards_ = true;
        add_host(static_cast<std::uint16_t>(listener), std::string_view(host).substr(1), number);
      } else {
        add_host(static_cast<std::uint16_t>(listener), host, number);
      }
    }
  }
}

// A wildcard is kept with its dot in front, which no exact name has.
void RouteTableBuilder::add_host(std::uint16_t listener,
                                 std::string_view host,
                                 std::uint32_t site) {
  host = without_final_dot(host);
  if (host.empty() || table_.find_host(listener, host) != RouteTable::kNone) return;
  const std::uint64_t hash = table_.hash_(host, listener);
  const std::size_t mask = table_.host_slots_.size() - 1;
  std::size_t at = hash & mask;
  while (table_.host_slots_[at].text_size != 0)
    at = (at + 1) & mask;
  table_.host_slots_[at] = {.tag = tag_of(hash),
                            .text_at = size32(table_.text_.size()),
                            .text_size = static_cast<std::uint16_t>(host.size()),
                            .listener = listener,
                            .site = site};
  table_.text_ += host;
}

RouteTable RouteTable::build(const conf::Model& model, base::KeyedHash hash) {
  return RouteTableBuilder(model, hash).build();
}

std::uint32_t RouteTable::find_host(std::size_t listener, std::string_view host) const {
  const std::uint64_t hash = hash_(host, listener);
  const std::size_t mask = host_slots_.size() - 1;
  for (std::size_t at = hash & mask; host_slots_[at].text_size != 0; at = (at + 1) & mask) {
    const HostSlot& slot = host_slots_[at];
    if (slot.tag == tag_of(hash) && slot.listener == listener && slot.text_size == host.size() &&
        std::memcmp(text_.data() + slot.text_at, host.data(), host.size()) == 0) {
      return slot.site;
    }
  }
  return kNone;
}

const RouteTable::Site* RouteTable::find_site(std::size_t listener, std::string_view host) const {
  host = without_final_dot(host);
  if (!host.empty() && host.front() != '.') {
    std::uint32_t site = find_host(listener, host);
    const std::size_t dot = has_wildcards_ ? host.find('.') : std::string_view::npos;
    if (site == kNone && dot != std::string_view::npos)
      site = find_host(listener, host.substr(dot));
    if (site != kNone) return &sites_[site];
  }
  if (listener >= any_site_.size() || any_site_[listener] == kNone) return nullptr;
  return &sites_[any_site_[listener]];
}

const RouteTable::Node* RouteTable::find_node(const Site& site,
                                              std::string_view path,
                                              std::uint64_t hash) const {
  const std::uint32_t* const slots = path_slots_.data() + site.first_slot;
  for (std::size_t at = hash & site.slot_mask; slots[at] != 0; at = (at + 1) & site.slot_mask) {
    if (((slots[at] ^ tag_of(hash)) & ~kSlotNodeMask) != 0) continue;
    const Node& node = nodes_[site.first_node + (slots[at] & kSlotNodeMask) - 1];
    if (node.text_size == path.size() &&
        std::memcmp(text_.data() + node.text_at, path.data(), path.size()) == 0) {
      return &node;
    }
  }
  return nullptr;
}

// Looks for an earlier route than `best` among the candidates of the node at path[0, end).
void RouteTable::consider(Candidates list,
                          std::size_t end,
                          const http::Head& request,
                          Best& best) const {
  for (std::uint32_t i = list.first; i < list.first + list.count; ++i) {
    const Candidate& candidate = candidates_[i];
    if (candidate.is_exact != 0 && end != request.path.size()) continue;
    if (candidate.route > best.route) return;
    if (candidate.route == best.route) {  // two paths of one route: the longer one gives the rest
      best.rest_at = end;
      return;
    }
    if (candidate.matcher != kNone && !matchers_[candidate.matcher].matches(request)) continue;
    best = {.route = candidate.route, .rest_at = end};
    return;
  }
}

RouteMatch RouteTable::find(std::size_t listener, const http::Head& request) const {
  const Site* const site = find_site(listener, request.host);
  if (site == nullptr) return {};
  const std::string_view path = request.path;
  Best best;
  consider(site->root, 0, request, best);
  std::uint64_t hash = 0;
  std::size_t begin = 0;
  const std::size_t depth_max = path.starts_with('/') ? site->depth_max : 0;
  for (std::size_t depth = 0; depth < depth_max && begin < path.size(); ++depth) {
    const std::size_t end = std::min(path.find('/', begin + 1), path.size());
    hash = hash_(path.substr(begin, end - begin), hash);
    const Node* const node = find_node(*site, path.substr(0, end), hash);
    if (node != nullptr) consider(node->candidates, end, request, best);
    begin = end;
  }
  if (best.route == kNone) return {};
  std::string_view rest = path.substr(best.rest_at);
  while (rest.starts_with('/'))
    rest.remove_prefix(1);
  return {.route = &routes_[site->first_route + best.route], .path_rest = rest};
}

std::size_t RouteTable::memory_bytes() const {
  const auto bytes = [](const auto& list) {
    return list.capacity() * sizeof(list[0]);
  };
  return bytes(routes_) + bytes(sites_) + bytes(host_slots_) + bytes(any_site_) +
         bytes(path_slots_) + bytes(nodes_) + bytes(candidates_) + bytes(matchers_) + bytes(text_);
}

}  // namespace portunus::proxy
