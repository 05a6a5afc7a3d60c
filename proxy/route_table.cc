#include "proxy/route_table.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <string>
#include <unordered_map>
#include <utility>

#include "base/check.h"
#include "http/grammar.h"

namespace portunus::proxy {
namespace {

// A route that lets anybody in leads to the members of those that do not.
std::string_view user_field_of(const conf::Site& site, const std::optional<conf::BasicAuth>& own) {
  if (own && !own->user_field.empty()) return own->user_field;
  if (site.basic_auth && !site.basic_auth->user_field.empty()) return site.basic_auth->user_field;
  for (const conf::Route& each : site.routes)
    if (each.basic_auth && !each.basic_auth->user_field.empty()) return each.basic_auth->user_field;
  return {};
}

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

// A path slot holds 8 bits of the hash above the node's place in its block, in words; 0 is free.
constexpr std::uint32_t kSlotNodeBits = 24;
constexpr std::uint32_t kSlotNodeMask = (1U << kSlotNodeBits) - 1;
constexpr std::size_t kDepthLast = 31;  // of the bits of Site::depths

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
  Route make_route(const conf::Site& site, const conf::Route& route);
  const AddressRules* add_rules(const conf::Site& site, const conf::Route& route);
  const std::vector<std::string>* add_auth_fields(const conf::Site& site);
  std::uint32_t add_matcher(const conf::Match& match);
  void gather_nodes(RouteTable::Site& site);
  RouteTable::Candidates add_candidates(std::span<const Pattern> patterns);
  void make_block(RouteTable::Site& site);
  std::uint32_t find_block(std::uint32_t next);
  std::uint32_t place_lines(std::string_view text);
  void place_site(const conf::Site& site, RouteTable::Site made);
  void add_hosts(const conf::Site& site, std::uint32_t at);
  void add_host(std::size_t listener,
                std::string_view host,
                std::uint32_t site,
                std::uint32_t text_at);

  const conf::Model& model_;
  RouteTable table_;
  // Of the site at hand.
  const std::vector<std::string>* site_auth_fields_ = nullptr;
  std::vector<Pattern> patterns_;
  std::vector<std::string_view> texts_;
  std::vector<RouteTable::Node> nodes_;
  std::string block_;
  // Where blocks of that hash are, in words, and their size in bytes.
  std::unordered_map<std::uint64_t, std::pair<std::uint32_t, std::size_t>> blocks_;
};

RouteTable RouteTableBuilder::build() {
  std::size_t routes = 0;
  std::size_t hosts = 0;
  for (const conf::Site& site : model_.sites) {
    routes += site.routes.size();
    hosts += site.hosts.size() * site.listeners.size();
  }
  table_.routes_.reserve(routes);
  table_.host_slots_.resize(std::bit_ceil(2 * hosts + 1));
  table_.lines_.resize(1);
  table_.any_site_.resize(model_.listeners.size(), RouteTable::kNone);
  for (const conf::Site& site : model_.sites)
    add_site(site);
  table_.lines_.shrink_to_fit();
  table_.candidates_.shrink_to_fit();
  table_.matchers_.shrink_to_fit();
  return std::move(table_);
}

void RouteTableBuilder::add_site(const conf::Site& site) {
  RouteTable::Site made{};
  made.root.first = RouteTable::kNone;
  made.first_route = size32(table_.routes_.size());
  patterns_.clear();
  site_auth_fields_ = add_auth_fields(site);
  for (std::size_t i = 0; i < site.routes.size(); ++i) {
    const conf::Route& route = site.routes[i];
    table_.routes_.push_back(make_route(site, route));
    RouteTable::Candidate candidate{.packed = size32(i) << 1, .matcher = add_matcher(route.match)};
    if (route.match.paths.empty()) patterns_.push_back({{}, candidate});
    for (const conf::PathPattern& pattern : route.match.paths) {
      std::string_view text = pattern.path;
      while (pattern.is_prefix && text.ends_with('/'))
        text.remove_suffix(1);
      candidate.packed = size32(i) << 1 | (pattern.is_prefix ? 0U : 1U);
      patterns_.push_back({text, candidate});
    }
  }
  gather_nodes(made);
  if (!nodes_.empty()) make_block(made);
  place_site(site, made);
}

Route RouteTableBuilder::make_route(const conf::Site& site, const conf::Route& route) {
  const auto step = [](const conf::HeaderChanges& changes) {
    return changes == conf::HeaderChanges{} ? nullptr : &changes;
  };
  Route made;
  made.name = route.name;
  made.config = &route;
  made.index = size32(table_.routes_.size());
  made.client_rule = site.client_auth ? &site.client_auth->rule : nullptr;
  made.addresses = add_rules(site, route);
  const auto& compression = route.has_site_compression ? site.compression : route.compression;
  made.compression = compression ? &*compression : nullptr;
  const auto& auth = route.has_site_auth ? site.basic_auth : route.basic_auth;
  made.basic_auth = auth ? &*auth : nullptr;
  made.user_field = user_field_of(site, auth);
  const auto& forward_auth = route.has_site_forward_auth ? site.forward_auth : route.forward_auth;
  made.forward_auth = forward_auth ? &*forward_auth : nullptr;
  made.auth_fields = site_auth_fields_;
  const auto& cors = route.has_site_cors ? site.cors : route.cors;
  made.cors = cors ? &*cors : nullptr;
  table_.has_cors_ = table_.has_cors_ || made.cors != nullptr;
  made.request_headers = {step(site.request_headers), step(route.request_headers)};
  made.response_headers = {step(site.response_headers), step(route.response_headers)};
  made.body_bytes_max = route.body_bytes.value_or(model_.limits.body_bytes);
  made.priority = static_cast<std::uint8_t>(route.priority.value_or(site.priority));
  made.tells_timing = route.server_timing.value_or(site.server_timing);
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

const AddressRules* RouteTableBuilder::add_rules(const conf::Site& site, const conf::Route& route) {
  AddressRules rules;
  rules.add(site.addresses);
  rules.add(route.addresses);
  if (rules.empty()) return nullptr;
  table_.addresses_.push_back(std::make_unique<const AddressRules>(std::move(rules)));
  return table_.addresses_.back().get();
}

// As with user_field_of().
const std::vector<std::string>* RouteTableBuilder::add_auth_fields(const conf::Site& site) {
  std::vector<std::string> names;
  const auto add = [&](const std::optional<conf::ForwardAuth>& rule) {
    if (rule) names.insert(names.end(), rule->copied_fields.begin(), rule->copied_fields.end());
  };
  add(site.forward_auth);
  for (const conf::Route& each : site.routes)
    add(each.forward_auth);
  if (names.empty()) return nullptr;
  std::ranges::sort(names);
  names.erase(std::ranges::unique(names).begin(), names.end());
  table_.auth_fields_.push_back(std::make_unique<const std::vector<std::string>>(std::move(names)));
  return table_.auth_fields_.back().get();
}

std::uint32_t RouteTableBuilder::add_matcher(const conf::Match& match) {
  if (Matcher::is_trivial(match)) return RouteTable::kNone;
  table_.matchers_.emplace_back(match);
  return size32(table_.matchers_.size() - 1);
}

// One node for each text of patterns_, with its candidates in written order.
void RouteTableBuilder::gather_nodes(RouteTable::Site& site) {
  std::ranges::sort(patterns_, {}, [](const Pattern& pattern) {
    return std::pair(pattern.text, pattern.candidate.packed);
  });
  nodes_.clear();
  texts_.clear();
  const std::span<const Pattern> all(patterns_);
  for (std::size_t begin = 0; begin < all.size();) {
    const std::string_view text = all[begin].text;
    std::size_t end = begin + 1;
    while (end < all.size() && all[end].text == text)
      ++end;
    const RouteTable::Candidates list = add_candidates(all.subspan(begin, end - begin));
    begin = end;
    if (text.empty()) {
      site.root = list;
      continue;
    }
    const auto depth = static_cast<std::size_t>(std::ranges::count(text, '/'));
    site.depths |= 1U << std::min(depth - 1, kDepthLast);
    nodes_.push_back({size32(text.size()), list});
    texts_.push_back(text);
  }
}

RouteTable::Candidates RouteTableBuilder::add_candidates(std::span<const Pattern> patterns) {
  const RouteTable::Candidate& only = patterns.front().candidate;
  if (patterns.size() == 1 && only.matcher == RouteTable::kNone) {
    return {.first = only.packed, .count = 0};
  }
  const std::uint32_t first = size32(table_.candidates_.size());
  for (const Pattern& pattern : patterns)
    table_.candidates_.push_back(pattern.candidate);
  return {.first = first, .count = size32(patterns.size())};
}

// Writes slots, then nodes, each with its text, to block_.
void RouteTableBuilder::make_block(RouteTable::Site& site) {
  std::vector<std::uint32_t> slots(std::bit_ceil(nodes_.size() + nodes_.size() / 2 + 1));
  site.slot_mask = size32(slots.size() - 1);
  block_.assign(slots.size() * sizeof(slots[0]), '\0');
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    const std::string_view text = texts_[i];
    const std::size_t place = block_.size() / sizeof(slots[0]);
    CHECK(place <= kSlotNodeMask);  // 64 MiB of paths in one site
    block_.append(reinterpret_cast<const char*>(&nodes_[i]), sizeof(nodes_[i]));
    block_ += text;
    block_.resize((block_.size() + 3) & ~std::size_t{3});
    std::uint64_t hash = 0;
    for (std::size_t begin = 0; begin < text.size();) {
      const std::size_t end = std::min(text.find('/', begin + 1), text.size());
      hash = table_.hash_(text.substr(begin, end - begin), hash);
      begin = end;
    }
    std::size_t at = hash & site.slot_mask;
    while (slots[at] != 0)
      at = (at + 1) & site.slot_mask;
    slots[at] = (tag_of(hash) & ~kSlotNodeMask) | size32(place);
  }
  std::memcpy(block_.data(), slots.data(), slots.size() * sizeof(slots[0]));
}

// The place, in words, of an equal block of another site; kNone when this one is new, and then it
// is remembered as to be put at `next`.
std::uint32_t RouteTableBuilder::find_block(std::uint32_t next) {
  const std::uint64_t hash = table_.hash_(block_);
  const auto [known, is_new] = blocks_.try_emplace(hash, next, block_.size());
  if (is_new) return RouteTable::kNone;
  const auto [at, size] = known->second;
  const char* const bytes = table_.bytes() + std::size_t{at} * sizeof(std::uint32_t);
  return std::string_view(bytes, size) == block_ ? at : RouteTable::kNone;
}

// Appends whole lines with that text; gives their place in words.
std::uint32_t RouteTableBuilder::place_lines(std::string_view text) {
  const std::size_t at = table_.lines_.size();
  table_.lines_.resize(at +
                       (text.size() + sizeof(RouteTable::Line) - 1) / sizeof(RouteTable::Line));
  std::memcpy(&table_.lines_[at], text.data(), text.size());
  return size32(at * RouteTable::kLineWords);
}

void RouteTableBuilder::place_site(const conf::Site& site, RouteTable::Site made) {
  std::string text(sizeof(made), '\0');
  for (const std::string& host : site.hosts)
    text += host;
  const std::uint32_t at = place_lines(text);
  if (!nodes_.empty()) {
    made.paths_at = find_block(size32(table_.lines_.size() * RouteTable::kLineWords));
    if (made.paths_at == RouteTable::kNone) made.paths_at = place_lines(block_);
  }
  std::memcpy(&table_.lines_[at / RouteTable::kLineWords], &made, sizeof(made));
  add_hosts(site, at);
}

void RouteTableBuilder::add_hosts(const conf::Site& site, std::uint32_t at) {
  auto text_at = size32(at * sizeof(std::uint32_t) + sizeof(RouteTable::Site));
  for (const std::string& host : site.hosts) {
    const bool is_wildcard = host.starts_with("*.");
    table_.has_wildcards_ = table_.has_wildcards_ || is_wildcard;
    for (const std::size_t listener : site.listeners) {
      if (host == "*") {
        std::uint32_t& any = table_.any_site_[listener];
        if (any == RouteTable::kNone) any = at;
      } else if (is_wildcard) {  // kept with its dot in front, which no exact name has
        add_host(listener, std::string_view(host).substr(1), at, text_at + 1);
      } else {
        add_host(listener, host, at, text_at);
      }
    }
    text_at += size32(host.size());
  }
}

void RouteTableBuilder::add_host(std::size_t listener,
                                 std::string_view host,
                                 std::uint32_t site,
                                 std::uint32_t text_at) {
  host = without_final_dot(host);
  if (host.empty() || table_.find_host(listener, host) != RouteTable::kNone) return;
  const std::uint64_t hash = table_.hash_(host, listener);
  const std::size_t mask = table_.host_slots_.size() - 1;
  std::size_t at = hash & mask;
  while (table_.host_slots_[at].text_size != 0)
    at = (at + 1) & mask;
  table_.host_slots_[at] = {.tag = tag_of(hash),
                            .text_at = text_at,
                            .text_size = static_cast<std::uint16_t>(host.size()),
                            .listener = static_cast<std::uint16_t>(listener),
                            .site = site};
}

RouteTable RouteTable::build(const conf::Model& model, base::KeyedHash hash) {
  return RouteTableBuilder(model, hash).build();
}

std::uint32_t RouteTable::find_host(std::size_t listener, std::string_view host) const {
  const std::uint64_t hash = hash_(host, listener);
  const std::size_t mask = host_slots_.size() - 1;
  for (std::size_t at = hash & mask; host_slots_[at].text_size != 0; at = (at + 1) & mask) {
    const HostSlot& slot = host_slots_[at];
    // Most likely the site, and most likely its paths are in the lines behind.
    __builtin_prefetch(words() + slot.site + kLineWords);
    __builtin_prefetch(words() + slot.site + 2 * kLineWords);
    if (slot.tag == tag_of(hash) && slot.listener == listener && slot.text_size == host.size() &&
        std::memcmp(bytes() + slot.text_at, host.data(), host.size()) == 0) {
      return slot.site;
    }
  }
  return kNone;
}

std::uint32_t RouteTable::find_site(std::size_t listener, std::string_view host) const {
  host = without_final_dot(host);
  if (!host.empty() && host.front() != '.') {
    std::uint32_t site = find_host(listener, host);
    const std::size_t dot = has_wildcards_ ? host.find('.') : std::string_view::npos;
    if (site == kNone && dot != std::string_view::npos)
      site = find_host(listener, host.substr(dot));
    if (site != kNone) return site;
  }
  return listener < any_site_.size() ? any_site_[listener] : kNone;
}

std::uint32_t RouteTable::site_id(std::size_t listener, std::string_view host) const {
  std::array<char, 255> text;
  if (site_ids_.empty() || host.size() > text.size()) return 0;
  std::ranges::transform(host, text.begin(), http::to_lower);
  const std::uint32_t at = find_site(listener, {text.data(), host.size()});
  if (at == kNone) return 0;
  Site site;
  std::memcpy(&site, words() + at, sizeof(site));
  return site_ids_[site.first_route];
}

RouteTable::Candidates RouteTable::find_path(const Site& site,
                                             std::string_view path,
                                             std::uint64_t hash) const {
  const std::uint32_t* const slots = words() + site.paths_at;
  for (std::size_t at = hash & site.slot_mask; slots[at] != 0; at = (at + 1) & site.slot_mask) {
    if (((slots[at] ^ tag_of(hash)) & ~kSlotNodeMask) != 0) continue;
    const std::uint32_t* const place = slots + (slots[at] & kSlotNodeMask);
    Node node;
    std::memcpy(&node, place, sizeof(node));
    const char* const text = reinterpret_cast<const char*>(place) + sizeof(node);
    if (std::string_view(text, node.text_size) == path) return node.candidates;
  }
  return {.first = kNone, .count = 0};
}

// Looks for an earlier route than `best` among the candidates of the node at path[0, end).
void RouteTable::consider(Candidates list,
                          std::size_t end,
                          const http::Head& request,
                          Best& best) const {
  if (list.first == kNone) return;
  const Candidate single{.packed = list.first, .matcher = kNone};
  const Candidate* candidate = list.count == 0 ? &single : &candidates_[list.first];
  for (const Candidate* const last = candidate + std::max(list.count, 1U); candidate != last;
       ++candidate) {
    if (candidate->is_exact() && end != request.path.size()) continue;
    if (candidate->route() > best.route) return;
    if (candidate->route() ==
        best.route) {  // two paths of one route: the longer one gives the rest
      best.rest_at = end;
      return;
    }
    if (candidate->matcher != kNone && !matchers_[candidate->matcher].matches(request)) continue;
    best = {.route = candidate->route(), .rest_at = end};
    return;
  }
}

RouteMatch RouteTable::find(std::size_t listener, const http::Head& request) const {
  const std::uint32_t site_at = find_site(listener, request.host);
  if (site_at == kNone) return {};
  Site site;
  std::memcpy(&site, words() + site_at, sizeof(site));
  const std::string_view path = request.path;
  Best best;
  consider(site.root, 0, request, best);
  std::uint64_t hash = 0;
  std::size_t begin = 0;
  const std::uint32_t depths = path.starts_with('/') ? site.depths : 0;
  for (std::size_t depth = 0; begin < path.size(); ++depth) {
    const std::uint32_t left = depths >> std::min(depth, kDepthLast);
    if (left == 0) break;
    const std::size_t end = std::min(path.find('/', begin + 1), path.size());
    hash = hash_(path.substr(begin, end - begin), hash);
    if ((left & 1) != 0) consider(find_path(site, path.substr(0, end), hash), end, request, best);
    begin = end;
  }
  if (best.route == kNone) return {};
  std::string_view rest = path.substr(best.rest_at);
  while (rest.starts_with('/'))
    rest.remove_prefix(1);
  return {.route = &routes_[site.first_route + best.route], .path_rest = rest};
}

std::size_t RouteTable::memory_bytes() const {
  const auto bytes = [](const auto& list) {
    return list.capacity() * sizeof(list[0]);
  };
  return bytes(routes_) + bytes(host_slots_) + bytes(any_site_) + bytes(lines_) +
         bytes(candidates_) + bytes(matchers_) + bytes(site_ids_);
}

}  // namespace portunus::proxy
