#include "net/address.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>

#include <string>

namespace portunus::net {
namespace {

TEST(Address, ReadsAndWritesItsForms) {
  struct Row {
    const char* text;
    const char* ip;
    const char* whole;
    bool is_v6;
  };
  const Row rows[] = {
      {"127.0.0.1", "127.0.0.1", "127.0.0.1:80", false},
      {"0.0.0.0", "0.0.0.0", "0.0.0.0:80", false},
      {"255.255.255.255", "255.255.255.255", "255.255.255.255:80", false},
      {"::1", "::1", "[::1]:80", true},
      {"2001:DB8:0:0::1", "2001:db8::1", "[2001:db8::1]:80", true},
      {"::ffff:10.1.2.3", "10.1.2.3", "10.1.2.3:80", false},  // one client, one form
  };
  for (const Row& row : rows) {
    const auto address = Address::parse_ip(row.text, 80);
    ASSERT_TRUE(address) << row.text;
    EXPECT_EQ(address->ip_text(), row.ip);
    EXPECT_EQ(address->text(), row.whole);
    EXPECT_EQ(address->is_v6(), row.is_v6);
    EXPECT_TRUE(address->is_set());
    sockaddr_storage storage;
    const socklen_t size = address->to_sockaddr(storage);
    EXPECT_EQ(size, row.is_v6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in));
    EXPECT_EQ(Address::from_sockaddr(reinterpret_cast<const sockaddr*>(&storage)), *address);
  }
  EXPECT_FALSE(Address{}.is_set());
}

TEST(Address, RefusesWhatIsNoAddress) {
  const std::string texts[] = {"",
                               "localhost",
                               "1.2.3",
                               "1.2.3.4.5",
                               "256.1.1.1",
                               "1.2.3.4 ",
                               "[::1]",
                               "::1%lo",
                               "01.2.3.4",
                               std::string("1.2.3.4\0x", 9),
                               std::string(100, '1')};
  for (const std::string& text : texts)
    EXPECT_FALSE(Address::parse_ip(text, 1)) << text;
}

TEST(Address, KeepsThePortApart) {
  Address a = Address::parse_ip("10.0.0.1", 1).value();
  const Address b = Address::parse_ip("10.0.0.1", 65535).value();
  EXPECT_FALSE(a == b);
  a.set_port(65535);
  EXPECT_TRUE(a == b);
  EXPECT_EQ(b.text(), "10.0.0.1:65535");
}

TEST(CidrSet, ContainsWhatItsNetworksDo) {
  struct Row {
    const char* network;
    const char* inside;
    const char* outside;
  };
  const Row rows[] = {
      {"10.0.0.0/8", "10.255.1.2", "11.0.0.0"},
      {"10.1.2.3", "10.1.2.3", "10.1.2.4"},
      {"192.168.4.0/22", "192.168.7.255", "192.168.8.0"},
      {"128.0.0.0/1", "255.0.0.1", "127.255.255.255"},
      {"0.0.0.0/0", "1.2.3.4", "::1"},
      {"::/0", "2001:db8::1", "1.2.3.4"},
      {"2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::1"},
      {"10.0.0.77/8", "10.9.9.9", "9.0.0.0"},  // bits behind the prefix do not count
      {"::1", "::1", "::2"},
  };
  for (const Row& row : rows) {
    CidrSet set;
    EXPECT_TRUE(set.empty());
    ASSERT_TRUE(set.add(row.network)) << row.network;
    EXPECT_FALSE(set.empty());
    EXPECT_TRUE(set.contains(Address::parse_ip(row.inside, 5).value())) << row.network;
    EXPECT_FALSE(set.contains(Address::parse_ip(row.outside, 5).value())) << row.network;
  }
  CidrSet set;
  for (const char* bad : {"", "10.0.0.0/", "10.0.0.0/33", "::/129", "10.0.0.0/8x", "10.0.0.0/-1",
                          "x/8", "10.0.0.0/8/8", "10.0.0.0/ 8"}) {
    EXPECT_FALSE(set.add(bad)) << bad;
  }
  EXPECT_TRUE(set.empty());
}

// A client that comes by an IPv4-mapped address is in the IPv4 network.
TEST(CidrSet, SeesThroughMappedAddresses) {
  CidrSet set;
  ASSERT_TRUE(set.add("10.0.0.0/8"));
  EXPECT_TRUE(set.contains(Address::parse_ip("::ffff:10.0.0.1", 1).value()));
}

}  // namespace
}  // namespace portunus::net
