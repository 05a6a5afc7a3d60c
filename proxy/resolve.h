// Host names of the configuration to addresses: a number is taken as it is, a name is looked up
// with the system's resolver (blocking: control thread, start and reload only). Of several
// addresses the first IPv4 one is taken, else the first.
#pragma once

#include <cstdint>
#include <expected>
#include <string>

#include "net/address.h"

namespace portunus::proxy {

[[nodiscard]] std::expected<net::Address, std::string> resolve(const std::string& host,
                                                               std::uint16_t port);

}  // namespace portunus::proxy
