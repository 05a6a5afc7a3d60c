// Host names of the configuration to addresses: a number is taken as it is, a name is looked up
// with the system's resolver (blocking: at start, and on the thread that loads a file). Of several
// addresses the first IPv4 one is taken, else the first.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <unordered_map>

#include "conf/model.h"
#include "net/address.h"

struct addrinfo;

namespace portunus::proxy {

// Of what a look-up has found; unset when there is no IP address. The port is 0.
[[nodiscard]] net::Address choose_address(const addrinfo& found);

[[nodiscard]] std::expected<net::Address, std::string> resolve(const std::string& host,
                                                               std::uint16_t port);

// Where a listener is to be bound: without a host, every local address, IPv6 too where it is there.
[[nodiscard]] std::expected<net::Address, std::string> listening_address(
    const conf::Address& address);

// The members' host names, looked up; ports are 0. May run on any thread.
using ResolvedNames = std::unordered_map<std::string, std::expected<net::Address, std::string>>;
[[nodiscard]] ResolvedNames resolve_members(const conf::Model& model);

}  // namespace portunus::proxy
