// How much each client has open at a time: connections, and requests in flight. One of all threads
// and generations, made when a configuration first bounds either. Clients are told apart by address,
// those of IPv6 by network. Any thread.
#pragma once

#include <cstdint>

#include "base/count_table.h"
#include "base/hash.h"
#include "net/address.h"

namespace portunus::proxy {

// Of an address that is set; so many bits of one of IPv6 count.
[[nodiscard]] std::uint64_t hash_client(const base::KeyedHash& hash,
                                        const net::Address& client,
                                        std::uint32_t ipv6_prefix);

struct ClientCounts {
  // Different ones at a time. There are hardly more descriptors; who comes beyond is not counted.
  static constexpr std::uint64_t kClients = 65'536;

  base::KeyedHash hash;
  base::CountTable connections{kClients};
  base::CountTable requests{kClients};
};

}  // namespace portunus::proxy
