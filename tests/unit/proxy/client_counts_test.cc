#include "proxy/client_counts.h"

#include <gtest/gtest.h>

namespace portunus::proxy {
namespace {

std::uint64_t hash_of(std::string_view ip, std::uint32_t prefix) {
  return hash_client(base::KeyedHash(1, 2), net::Address::parse_ip(ip, 0).value(), prefix);
}

TEST(ClientCounts, ClientsAreAddressesAndNetworks) {
  EXPECT_NE(hash_of("192.0.2.1", 64), hash_of("192.0.2.2", 64));
  EXPECT_EQ(hash_of("192.0.2.1", 64), hash_of("192.0.2.1", 16)) << "bits of IPv6 only";
  EXPECT_EQ(hash_of("2001:db8::1", 64), hash_of("2001:db8::ffff:1", 64));
  EXPECT_NE(hash_of("2001:db8::1", 64), hash_of("2001:db8:0:1::1", 64));
  EXPECT_NE(hash_of("2001:db8::1", 128), hash_of("2001:db8::2", 128));
  EXPECT_EQ(hash_of("2001:db8:80::", 41), hash_of("2001:db8:ff::", 41));
  EXPECT_NE(hash_of("2001:db8:80::", 41), hash_of("2001:db8:7f::", 41));
}

TEST(ClientCounts, EachHasASecretOfItsOwn) {
  const ClientCounts one;
  const ClientCounts other;
  const auto client = net::Address::parse_ip("192.0.2.1", 0).value();
  EXPECT_NE(hash_client(one.hash, client, 64), hash_client(other.hash, client, 64));
}

}  // namespace
}  // namespace portunus::proxy
