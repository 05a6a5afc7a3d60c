#include "proxy/admin_guard.h"

#include "net/address.h"

namespace portunus::proxy {
namespace {

constexpr std::string_view kFetchSite = "sec-fetch-site";

bool comes_from_elsewhere(const http::HeaderBlock& fields) {
  for (std::size_t i = fields.find(kFetchSite); i != http::HeaderBlock::kNone;
       i = fields.find(kFetchSite, i + 1)) {
    const std::string_view value = fields.field(i).value();
    if (value != "none" && value != "same-origin") return true;
  }
  return false;
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
  if (request.method == http::Method::get || request.method == http::Method::head) return {};
  if (request.fields.has(http::HeaderId::origin))
    return "requests of web pages are refused (Origin)";
  if (comes_from_elsewhere(request.fields)) {
    return "requests of other sites are refused (Sec-Fetch-Site)";
  }
  return {};
}

}  // namespace portunus::proxy
