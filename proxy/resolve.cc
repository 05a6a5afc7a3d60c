#include "proxy/resolve.h"

#include <unistd.h>

#include <netdb.h>

#include <memory>

#include "net/listener.h"

namespace portunus::proxy {

net::Address choose_address(const addrinfo& found) {
  const addrinfo* choice = &found;
  for (const addrinfo* each = &found; each != nullptr; each = each->ai_next) {
    if (each->ai_family == AF_INET) {
      choice = each;
      break;
    }
  }
  net::Address address = net::Address::from_sockaddr(choice->ai_addr);
  if (address.is_set()) address.set_port(0);
  return address;
}

std::expected<net::Address, std::string> resolve(const std::string& host, std::uint16_t port) {
  if (auto literal = net::Address::parse_ip(host, port)) return *literal;
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int failure = ::getaddrinfo(host.c_str(), nullptr, &hints, &found);
  if (failure != 0 || found == nullptr) {
    return std::unexpected(std::string("the name cannot be resolved: ") + ::gai_strerror(failure));
  }
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> list(found, &::freeaddrinfo);
  net::Address address = choose_address(*found);
  if (!address.is_set()) return std::unexpected(std::string("the name has no IP address"));
  address.set_port(port);
  return address;
}

ResolvedNames resolve_members(const conf::Model& model) {
  ResolvedNames names;
  for (const conf::Pool& pool : model.pools) {
    for (const conf::Upstream& upstream : pool.upstreams) {
      const std::string& host = upstream.address.host;
      if (!names.contains(host)) names.emplace(host, resolve(host, 0));
    }
  }
  return names;
}

std::expected<net::Address, std::string> listening_address(const conf::Address& address) {
  if (!address.host.empty()) return resolve(address.host, address.port);
  // Every local address, IPv4 and IPv6 at once where there is IPv6.
  auto any = net::Address::parse_ip("::", address.port);
  if (auto probe = net::open_listening_socket(*net::Address::parse_ip("::1", 0), false)) {
    ::close(*probe);
    return *any;
  }
  return *net::Address::parse_ip("0.0.0.0", address.port);
}

}  // namespace portunus::proxy
