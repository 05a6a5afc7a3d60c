#include "proxy/client_counts.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace portunus::proxy {

std::uint64_t hash_client(const base::KeyedHash& hash,
                          const net::Address& client,
                          std::uint32_t ipv6_prefix) {
  std::array<std::uint8_t, 16> bytes = client.bytes();
  std::size_t size = 4;
  if (client.is_v6()) {
    size = bytes.size();
    const std::size_t whole = ipv6_prefix / 8;
    const unsigned rest = ipv6_prefix % 8;
    if (rest != 0) bytes[whole] &= static_cast<std::uint8_t>(0xff00U >> rest);
    std::fill(bytes.begin() + static_cast<std::ptrdiff_t>(whole + (rest != 0 ? 1 : 0)), bytes.end(),
              std::uint8_t{0});
  }
  return hash({reinterpret_cast<const char*>(bytes.data()), size});
}

}  // namespace portunus::proxy
