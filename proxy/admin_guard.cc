#include "proxy/admin_guard.h"

#include "conf/model.h"
#include "net/address.h"

namespace portunus::proxy {
namespace {

constexpr std::string_view kFetchSite = "sec-fetch-site";
constexpr std::string_view kScheme = "bearer ";

bool comes_from_elsewhere(const http::HeaderBlock& fields) {
  for (std::size_t i = fields.find(kFetchSite); i != http::HeaderBlock::kNone;
       i = fields.find(kFetchSite, i + 1)) {
    const std::string_view value = fields.field(i).value();
    if (value != "none" && value != "same-origin") return true;
  }
  return false;
}

bool is_reading(const http::Head& request) {
  return request.method == http::Method::get || request.method == http::Method::head;
}

// The time does not depend on where the two differ.
bool is_same_secret(std::string_view one, std::string_view other) {
  if (one.size() != other.size()) return false;
  volatile unsigned char difference = 0;  // or the compiler might stop early
  for (std::size_t i = 0; i < one.size(); ++i) {
    const auto bits = static_cast<unsigned char>(one[i]) ^ static_cast<unsigned char>(other[i]);
    difference = static_cast<unsigned char>(difference | bits);
  }
  return difference == 0;
}

// What follows `Bearer` in the one Authorization field, or an empty view.
std::string_view bearer_of(const http::HeaderBlock& fields) {
  if (fields.count(http::HeaderId::authorization) != 1) return {};
  std::string_view value = fields.value_of(http::HeaderId::authorization);
  if (value.size() < kScheme.size()) return {};
  for (std::size_t i = 0; i < kScheme.size(); ++i) {
    const char c = value[i] >= 'A' && value[i] <= 'Z' ? static_cast<char>(value[i] + 32) : value[i];
    if (c != kScheme[i]) return {};
  }
  value.remove_prefix(kScheme.size());
  while (value.starts_with(' '))
    value.remove_prefix(1);
  return value;
}

}  // namespace

bool is_loopback_host(std::string_view host) {
  if (host == "localhost" || host == "localhost.") return true;
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  const auto address = net::Address::parse_ip(host, 0);
  if (!address) return false;
  if (!address->is_v6()) return address->bytes()[0] == 127;
  static const auto loopback6 = net::Address::parse_ip("::1", 0);
  return *address == *loopback6;
}

std::string_view find_foreign_sign(const http::Head& request, std::string_view listen_host) {
  // Only HTTP/1.0 comes without a Host, and no browser speaks that.
  const bool has_host = !request.authority.empty() || request.fields.has(http::HeaderId::host);
  if (has_host && !is_loopback_host(request.host) &&
      (listen_host.empty() || request.host != listen_host)) {
    return "the Host must be a loopback address or localhost";
  }
  if (is_reading(request)) return {};
  if (request.fields.has(http::HeaderId::origin))
    return "requests of web pages are refused (Origin)";
  if (comes_from_elsewhere(request.fields)) {
    return "requests of other sites are refused (Sec-Fetch-Site)";
  }
  return {};
}

bool lacks_token(const http::Head& request, bool is_probe, const conf::Admin& config) {
  if (config.token.empty()) return false;
  if (is_reading(request) && (is_probe || config.token_for == conf::TokenFor::changes))
    return false;
  return !is_same_secret(bearer_of(request.fields), config.token);
}

}  // namespace portunus::proxy
