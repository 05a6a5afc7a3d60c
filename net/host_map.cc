#include "net/host_map.h"

#include <algorithm>
#include <array>

namespace portunus::net {
namespace {

constexpr std::size_t kHostMax = 255;

}  // namespace

bool HostMap::add(std::string_view name, std::uint32_t value) {
  const bool is_wildcard = name.starts_with("*.");
  return (is_wildcard ? wildcards_ : exact_)
      .emplace(name.substr(is_wildcard ? 1 : 0), value)
      .second;
}

std::uint32_t HostMap::find(std::string_view host) const {
  if (host.ends_with('.')) host.remove_suffix(1);
  if (host.empty() || host.size() > kHostMax) return kNone;
  std::array<char, kHostMax> lower;  // NOLINT(*-member-init): written below
  std::ranges::transform(host, lower.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  const std::string_view name(lower.data(), host.size());
  if (const auto known = exact_.find(name); known != exact_.end()) return known->second;
  const std::size_t dot = name.find('.');
  if (dot == 0 || dot == std::string_view::npos) return kNone;
  const auto known = wildcards_.find(name.substr(dot));
  return known == wildcards_.end() ? kNone : known->second;
}

}  // namespace portunus::net
